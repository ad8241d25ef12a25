"""Calls, mails, meetings: what was done, and when we learned of it."""
