"""The ``acpref`` command."""
