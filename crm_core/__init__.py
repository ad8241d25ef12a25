"""Facts, and the arithmetic on facts.

This package knows nothing of features, models or HTTP. One noun is one folder. The files that a
folder needs have the same names everywhere: ``models.py`` (tables), ``queries.py`` (reads),
``operations.py`` (writes and business rules), ``arithmetic.py`` (pure numbers); what is large
enough for a file of its own is named for what it holds.
"""
