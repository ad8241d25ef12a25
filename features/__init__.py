"""What was known at a time, shaped for models: one row per entity per ``as_of``."""
