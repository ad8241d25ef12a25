"""Targets per person or org unit, metric and period."""
