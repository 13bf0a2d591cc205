"""Generates the example pictures that ship with the cocktail, in float32 on the CPU.

python -m tools.example_pictures
"""

from __future__ import annotations

from pathlib import Path

from wuerst_demo.api import load
from wuerst_demo.events import Result
from wuerst_demo.web.example_pictures import encode_picture, file_name, list_example_requests

FOLDER = Path(__file__).parent.parent / "assets" / "cocktail" / "wuerstchen" / "examples"


def main() -> None:
    """Replaces the folder's files."""
    wuerstchen = load(device="cpu", dtype="float32")
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.webp"):
        file.unlink()
    for _, event in wuerstchen.run_all(list_example_requests(wuerstchen.info)):
        if isinstance(event, Result):
            (FOLDER / file_name(event.request)).write_bytes(encode_picture(event.image))


if __name__ == "__main__":
    main()
