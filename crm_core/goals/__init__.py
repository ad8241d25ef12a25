"""Goals of the company, its units and people: versions, approval, decomposition, progress."""
