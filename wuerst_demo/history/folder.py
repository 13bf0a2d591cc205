"""Image files of the history: listing, metadata, favourites, deletion.

Images are in the folder itself, where the command line writes them, and one level below, by day. Other files are left
alone, and symbolic links are not followed.
"""

from __future__ import annotations

import logging
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from wuerst_demo.errors import ImageFileError, MetadataError, StorageError
from wuerst_demo.images.metadata import read_image_settings

log = logging.getLogger(__name__)

FAVOURITE_SUFFIX = ".favourite"
INDEX_FOLDER = ".wuerst-index"
"""Folder of the index. Writing to it leaves the modification times of the image folders as they are."""
RECHECK_WINDOW_NS = 2 * 10**9
"""How long a folder counts as still changing after a modification: FAT stores times in steps of 2 s."""
MAX_TIME_NS = 2**63 - 1
"""Latest time that the index can store, in April 2262."""
_TIMESTAMP = re.compile(r"(\d{8}-\d{6})-")


@dataclass(frozen=True)
class ImageFile:
    """A PNG file of a folder."""

    name: str
    state: tuple[int, int]
    """Size in bytes and modification time in ns, to notice a changed file."""
    favourite: bool


@dataclass(frozen=True)
class ImageRecord:
    """Searchable metadata of an image that this program wrote."""

    prompt: str
    negative_prompt: str
    created_us: int
    """Local time of creation, in microseconds since 1970."""


def list_folders(root: Path) -> dict[str, int]:
    """Image folders by name ("" is the root) with their modification times in ns.

    A time within RECHECK_WINDOW_NS is given as 0: a later change might not alter it. Raises StorageError.
    """
    try:
        found = {"": root.stat().st_mtime_ns}
        with os.scandir(root) as entries:
            for entry in entries:
                if _is_visible_name(entry.name) and entry.is_dir(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        found[entry.name] = entry.stat(follow_symlinks=False).st_mtime_ns
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise unreadable_error(root, error) from error
    latest = min(time.time_ns() - RECHECK_WINDOW_NS, MAX_TIME_NS)
    return {name: changed if -MAX_TIME_NS < changed < latest else 0 for name, changed in found.items()}


def list_files(root: Path, folder: str) -> list[ImageFile]:
    """PNG files of one folder; empty if it does not exist or is a link. Raises StorageError.

    A time that the index cannot store is given as 0.
    """
    if folder and (root / folder).is_symlink():
        return []
    try:
        with os.scandir(root / folder) as scanned:
            entries = {entry.name: entry for entry in scanned}
        files = []
        for name, entry in entries.items():
            if name.lower().endswith(".png") and _is_visible_name(name) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    state = file_state(entry.stat(follow_symlinks=False))
                    files.append(ImageFile(name, state, name + FAVOURITE_SUFFIX in entries))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable_error(root / folder, error) from error
    return files


def file_state(stat: os.stat_result) -> tuple[int, int]:
    """`ImageFile.state` of a file."""
    return stat.st_size, stat.st_mtime_ns if abs(stat.st_mtime_ns) <= MAX_TIME_NS else 0


def read_record(path: Path) -> ImageRecord | None:
    """Metadata of an image that this program wrote, else None. A file that is damaged or no image is logged."""
    try:
        settings = read_image_settings(path)
        modified_ns = path.stat().st_mtime_ns
    except ImageFileError as error:
        log.warning("Skipping a file of the history, %r: %s", path.name[:200], error)
        return None
    except (MetadataError, OSError):
        return None
    prompt, negative = (settings.values.get(name, "") for name in ("prompt", "negative_prompt"))
    if not settings.program.startswith("wuerst_demo") or not isinstance(prompt, str) or not isinstance(negative, str):
        return None
    return ImageRecord(_storable_text(prompt), _storable_text(negative), _creation_time_us(path.name, modified_ns))


def set_favourite(path: Path, favourite: bool) -> None:
    """Mark an image as a favourite, or unmark it. Raises StorageError."""
    marker = path.with_name(path.name + FAVOURITE_SUFFIX)
    try:
        if favourite:
            marker.touch()
        else:
            marker.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            "The favourite cannot be noted in {folder} ({reason}); see to the folder and try again.",
            folder=path.parent,
            reason=error.strerror,
        ) from error


def delete_image(path: Path) -> None:
    """Delete an image and its favourite marker; missing files are ignored. Raises StorageError."""
    try:
        path.unlink(missing_ok=True)
        path.with_name(path.name + FAVOURITE_SUFFIX).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            "The picture cannot be deleted from {folder} ({reason}); see to the folder and try again.",
            folder=path.parent,
            reason=error.strerror,
        ) from error


def unreadable_error(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        "The folder {folder} cannot be read ({reason}); see to it, or choose another.",
        folder=folder,
        reason=error.strerror,
    )


def _is_visible_name(name: str) -> bool:
    """Whether a name is not hidden and valid text, which file names need not be."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not name.startswith(".")


def _storable_text(text: str) -> str:
    # JSON can hold lone surrogates, which SQLite does not store.
    return text.encode("utf-8", "replace").decode("utf-8")


def _creation_time_us(name: str, modified_ns: int) -> int:
    """Local creation time from the name, since copying may change modification times; else the modification time.

    Names have whole seconds; the modification time's fraction orders images of one second.
    """
    fraction_us = modified_ns // 1000 % 10**6
    if stamp := _TIMESTAMP.match(name):
        with suppress(ValueError):
            named = datetime.strptime(stamp[1], "%Y%m%d-%H%M%S")
            return int((named - datetime(1970, 1, 1)).total_seconds()) * 10**6 + fraction_us
    with suppress(ValueError, OverflowError, OSError):
        local = datetime.fromtimestamp(modified_ns / 10**9)
        return max(0, int((local - datetime(1970, 1, 1)).total_seconds() * 10**6))
    return 0
