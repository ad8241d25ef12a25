"""Companies we sell to and the people in them; tickets and product usage."""
