"""Entry point of a Hugging Face Space, and of a clone: `python app.py [options]` is `wuerst page [options]`."""

import sys

from wuerst_demo.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["page", *sys.argv[1:]]))
