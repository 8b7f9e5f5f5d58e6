"""The REST binding of the protocol."""
