"""Static files of the page: scripts, style sheet, icon, template of the comparison table, style presets."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

STATIC_FOLDER = Path(str(files("wuerst_demo.web") / "static"))


def read_static(name: str) -> str:
    return (STATIC_FOLDER / name).read_text(encoding="utf-8")
