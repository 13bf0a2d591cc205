"""Writes constraints.txt: the exact versions installed in this environment.

    python -m tools.constraints

Without the packaging tools and the local part of a version (torch's `+cpu`), so that the file works on every machine.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

FILE = Path(__file__).parent.parent / "constraints.txt"
HEAD = """\
# The exact versions the project is tested with. `make` installs with them; a Space installs requirements.txt alone.
# To move on: install newer ones into .venv, `make test`, then `make constraints`.
"""
NOT_PINNED = {"pip", "setuptools", "wheel", "wuerst_demo"}


def pins() -> list[str]:
    """`name==version` of every installed distribution, in alphabetical order."""
    installed = {d.metadata["Name"]: d.version.split("+")[0] for d in metadata.distributions()}
    return [f"{name}=={installed[name]}" for name in sorted(installed, key=str.lower) if name not in NOT_PINNED]


def main() -> None:
    """Rewrites the file."""
    FILE.write_text(HEAD + "\n".join(pins()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
