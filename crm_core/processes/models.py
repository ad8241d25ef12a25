"""Tables of processes."""
