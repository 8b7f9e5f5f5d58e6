"""Every party of a purchase on one machine, for development, demonstration and tests."""
