"""Data health: rules, runs, findings, and which numbers rest on failing data."""
