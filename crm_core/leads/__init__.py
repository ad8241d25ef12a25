"""Campaigns and the leads they bring."""
