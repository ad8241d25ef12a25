"""What we told people, and what came of it (append-only)."""
