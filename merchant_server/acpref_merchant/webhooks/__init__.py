"""Delivery of order events to agents."""
