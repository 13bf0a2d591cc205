"""Paths as people write them.

Does not know what is there.
"""

from __future__ import annotations

from pathlib import Path


def expanded(text: str) -> Path:
    """The path with ~ as its writer's home: shells leave it as it is in --output=~/pictures and in files of variables.

    Raises ValueError, whose message ends "... must be", for the home of somebody who has none here.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError("a path; ~NAME is nobody's home here, and ~/NAME lies in your own") from error
