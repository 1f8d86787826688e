"""`python -m minique …` is the command `minique …`."""

import sys

from minique.cli import main

sys.exit(main())
