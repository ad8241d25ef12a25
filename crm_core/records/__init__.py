"""Any table of the exchange format, one record at a time: list, create, change, merge."""
