"""Tables of record changes."""
