"""Tables of data health."""
