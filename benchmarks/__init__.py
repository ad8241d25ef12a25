"""Our speed against bare engines doing the same work, as ratios."""
