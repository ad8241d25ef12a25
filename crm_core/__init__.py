"""Facts, and the arithmetic on facts.

This package knows nothing of features, models or HTTP. One noun is one folder, and every
folder has the same file names: ``models.py`` (tables), ``queries.py`` (every read),
``operations.py`` (every write and business rule), ``arithmetic.py`` (pure numbers).
"""
