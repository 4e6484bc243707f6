"""``python -m stratolite`` is the command ``stratolite``."""

from stratolite.cli import main

main()
