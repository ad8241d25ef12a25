"""The pages: one file per reader, server-rendered."""
