"""Next best action: which advice applies, how it is ranked, what was shown."""
