"""``python -m stratolite`` is the command ``stratolite``."""

import sys

from stratolite.cli import main

sys.exit(main())
