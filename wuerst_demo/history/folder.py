"""The files of a history: which there are, what they say, and the few changes that are made to them.

Pictures lie in the folder itself, where the command line puts them, and one level below, by day. Whatever else lies
there is left alone. Links are not followed: a folder shows what is in it.

Does not know the index.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from wuerst_demo.errors import MetadataError, StorageError
from wuerst_demo.metadata import from_png

FAVOURITE = ".favourite"
INDEX = ".wuerst-index"
"""The folder of the index. Apart from the pictures, whose folder's time of change tells that there is news."""
FRESH = 2 * 10**9
"""Nanoseconds for which a folder that was just changed is looked at again: clocks of file systems are coarse."""
_STAMP = re.compile(r"(\d{8}-\d{6})-")


@dataclass(frozen=True)
class File:
    """A PNG file as it lies there. `state` is its size and its time of change, which differ when it does."""

    name: str
    state: tuple[int, int]
    favourite: bool


@dataclass(frozen=True)
class Said:
    """What a picture says of itself, as far as it is searched. `made` orders pictures by time, in microseconds."""

    prompt: str
    negative_prompt: str
    made: int


def folders(root: Path) -> dict[str, int]:
    """The folders with pictures, by name ("" is the root), and the time at which each was last changed, in ns.

    A time of 0 stands for one so recent that more may happen at it. Raises StorageError.
    """
    try:
        found = {"": root.stat().st_mtime_ns}
        with os.scandir(root) as entries:
            for entry in entries:
                if _ours(entry.name) and entry.is_dir(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        found[entry.name] = entry.stat(follow_symlinks=False).st_mtime_ns
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise unreadable(root, error) from error
    now = time.time_ns()
    return {name: changed if changed < now - FRESH else 0 for name, changed in found.items()}


def files(root: Path, folder: str) -> list[File]:
    """The PNG files of one folder, none where it is gone. Raises StorageError."""
    try:
        with os.scandir(root / folder) as entries:
            found = {entry.name: entry for entry in entries}
        listed = []
        for name, entry in found.items():
            if name.lower().endswith(".png") and _ours(name) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    listed.append(File(name, state(entry.stat(follow_symlinks=False)), name + FAVOURITE in found))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(root / folder, error) from error
    return listed


def state(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_size, stat.st_mtime_ns


def read(path: Path) -> Said | None:
    """What a picture of ours says of itself; None for every other file."""
    try:
        found = from_png(path)
        changed = path.stat().st_mtime_ns
    except (MetadataError, OSError):
        return None
    prompt, negative = (found.values.get(name, "") for name in ("prompt", "negative_prompt"))
    if not found.program.startswith("wuerst_demo") or not isinstance(prompt, str) or not isinstance(negative, str):
        return None
    return Said(_plain(prompt), _plain(negative), _made(path.name, changed))


def mark(path: Path, favourite: bool) -> None:
    """Make a picture a favourite, or no longer one. Raises StorageError."""
    beside = path.with_name(path.name + FAVOURITE)
    try:
        if favourite:
            beside.touch()
        else:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"The favourite cannot be noted in {path.parent} ({error.strerror}); see to the folder and try again."
        ) from error


def delete(path: Path) -> None:
    """Delete a picture, for good. One that is gone already is no fault. Raises StorageError."""
    try:
        path.unlink(missing_ok=True)
        path.with_name(path.name + FAVOURITE).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"The picture cannot be deleted from {path.parent} ({error.strerror}); see to the folder and try again."
        ) from error


def unreadable(folder: Path, error: OSError) -> StorageError:
    return StorageError(f"The folder {folder} cannot be read ({error.strerror}); see to it, or choose another.")


def _ours(name: str) -> bool:
    """Whether a name can be that of something we wrote: not hidden, and text, which names on a disk need not be."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not name.startswith(".")


def _plain(text: str) -> str:
    # Not every text that JSON can say can be stored: lone halves of a character cannot.
    return text.encode("utf-8", "replace").decode("utf-8")


def _made(name: str, changed: int) -> int:
    """When a picture was made: what its name says, for times of change are lost in copying; else when it changed."""
    micro = changed // 1000
    if stamp := _STAMP.match(name):
        with suppress(ValueError):
            named = datetime.strptime(stamp[1], "%Y%m%d-%H%M%S")
            return int((named - datetime(1970, 1, 1)).total_seconds()) * 10**6 + micro % 10**6
    with suppress(ValueError, OverflowError, OSError):
        local = datetime.fromtimestamp(changed / 10**9)
        return max(0, int((local - datetime(1970, 1, 1)).total_seconds() * 10**6))
    return 0
