"""`python -m wuerst_demo`: the command line."""

import sys

from wuerst_demo.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
