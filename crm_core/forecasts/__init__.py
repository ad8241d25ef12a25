"""Forecasts: categories, roll-ups, adjustments, submissions, snapshots and the bridge."""
