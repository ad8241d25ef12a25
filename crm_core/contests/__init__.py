"""Leaderboards: any metric ranked by its own direction, with a frozen result."""
