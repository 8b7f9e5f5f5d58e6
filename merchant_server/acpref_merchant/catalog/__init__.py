"""Importing, generating, looking up and publishing products."""
