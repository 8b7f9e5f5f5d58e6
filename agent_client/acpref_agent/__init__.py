"""The buying-agent SDK."""
