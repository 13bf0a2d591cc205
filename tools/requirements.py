"""Write requirements.txt, which a Hugging Face Space reads, from the dependencies in pyproject.toml.

python -m tools.requirements
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE = ROOT / "requirements.txt"
HEAD = """\
# Made from pyproject.toml, which gives the reason for each bound, by `make requirements`. A Hugging Face Space reads
# this file; `make` installs the exact versions of constraints.txt.
"""


def requirements_text() -> str:
    """The content of requirements.txt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return HEAD + "".join(f"{requirement}\n" for requirement in project["dependencies"])


def main() -> None:
    """Rewrite the file."""
    FILE.write_text(requirements_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
