"""Models, and how good they are. Sees frames, never the database."""
