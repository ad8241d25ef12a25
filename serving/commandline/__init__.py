"""The ``winward`` command: one file per group of commands."""
