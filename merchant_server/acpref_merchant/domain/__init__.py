"""Decisions: pure functions over a session, the shop, the catalog and the time."""
