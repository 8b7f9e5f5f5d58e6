"""Persistence: tables, statements and the unit of work."""
