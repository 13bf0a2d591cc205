"""Paths as users write them, and the user's cache folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path


def expand_user(text: str) -> Path:
    """The path with ~ expanded: shells do not expand it in --output=~/pictures and in files of variables.

    Raises ValueError, whose message completes "... must be", for the home of an unknown user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError("a path; there is no user of that name, and ~/NAME is in your own home") from error


def user_cache_folder(env: Mapping[str, str], home: Path | None = None) -> Path:
    """This program's folder among the user's caches, where the system keeps them."""
    home = home or Path.home()
    if sys.platform == "win32":
        folder = Path(env.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        folder = home / "Library" / "Caches"
    else:
        folder = Path(env.get("XDG_CACHE_HOME") or home / ".cache")
    return folder / "wuerst_demo"
