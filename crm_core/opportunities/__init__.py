"""Deals as an append-only list of changes, each with two times."""
