"""``python -m acpref`` is the ``acpref`` command."""

from acpref.cli import main

if __name__ == "__main__":
    main()
