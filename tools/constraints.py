"""Write constraints.txt: the exact versions that stand in this environment.

    python -m tools.constraints

Leaves out pip itself and the local part of a version (torch's `+cpu`), so that the file holds on every machine.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

FILE = Path(__file__).parent.parent / "constraints.txt"
HEAD = """\
# The exact versions the project is tested with. `make` installs with them; a Space installs requirements.txt alone.
# To move on: install newer ones into .venv, `make test`, then `make constraints`.
"""
TOOLS = {"pip", "setuptools", "wheel"}


def pins() -> list[str]:
    """`name==version` of every installed distribution, in alphabetical order."""
    installed = {d.metadata["Name"]: d.version.split("+")[0] for d in metadata.distributions()}
    return [f"{name}=={installed[name]}" for name in sorted(installed, key=str.lower) if name not in TOOLS]


def main() -> None:
    """Rewrite the file."""
    FILE.write_text(HEAD + "\n".join(pins()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
