"""The face: JSON API, pages, coaching, scheduled jobs, the command line.

Translates; decides nothing about money or models.
"""
