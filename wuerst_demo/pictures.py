"""Finished pictures as PNG files: whole or not there at all, never over another file.

Does not know torch, Gradio or what drew the picture. The prompt is in the file, never in its name.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from wuerst_demo.errors import StorageError
from wuerst_demo.events import Result
from wuerst_demo.metadata import to_png_text

NOTHING: Mapping[str, str] = MappingProxyType({})
Open = Callable[[Path], BinaryIO]


def _open_new(path: Path) -> BinaryIO:
    return open(path, "xb")


def save(
    result: Result,
    folder: Path,
    checkpoint: str = "",
    revision: str = "",
    *,
    texts: Mapping[str, str] = NOTHING,
    now: datetime | None = None,
    open_new: Open = _open_new,
) -> Path:
    """Write a finished picture with its request into `folder`, made if need be, and return the file's path.

    `texts` are PNG texts of one's own, by keyword (Latin letters, 79 at most), beside those of the request.
    Two pictures of one second and seed get two names. Raises StorageError, and then leaves nothing behind.
    """
    encoded = io.BytesIO()
    info = to_png_text(result.request, checkpoint, revision)
    for keyword, text in texts.items():
        info.add_itxt(keyword, text)
    result.picture.save(encoded, "PNG", pnginfo=info)
    stem = f"{now or datetime.now():%Y%m%d-%H%M%S}-seed{result.request.seed}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _write(encoded.getbuffer(), folder, stem, open_new)
    except OSError as error:
        raise _refusal(folder, error) from error


def copy(picture: Path, folder: Path, *, open_new: Open = _open_new) -> Path:
    """Copy a picture's file, byte for byte, into `folder`, made if need be, and return the copy's path.

    It keeps its name unless that is taken. Raises StorageError, and then leaves nothing behind.
    """
    try:
        data = memoryview(picture.read_bytes())
        folder.mkdir(parents=True, exist_ok=True)
        return _write(data, folder, picture.stem, open_new)
    except OSError as error:
        raise _refusal(folder, error) from error


def writable(folder: Path) -> None:
    """Prove that a file can be written to `folder`, which may not be there yet; leaves the disk as it was.

    Raises StorageError.
    """
    made: list[Path] = []
    try:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(exist_ok=True)  # "a/..", say, is there once "a" is
            made.append(each)
        probe = _beside(folder)
        probe.touch(exist_ok=False)
        probe.unlink()
    except (OSError, ValueError) as error:
        raise _refusal(folder, error) from error
    finally:
        for each in reversed(made):
            with suppress(OSError):
                each.rmdir()


def _write(data: memoryview, folder: Path, stem: str, open_new: Open) -> Path:
    """The bytes under the first free name of `stem`, `stem-2`, ... A reader sees the whole file or none."""
    partial = _beside(folder)
    try:
        with open_new(partial) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        number = 1
        while True:
            path = folder / (f"{stem}.png" if number == 1 else f"{stem}-{number}.png")
            if _give_name(partial, path):
                return path
            number += 1
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _give_name(partial: Path, path: Path) -> bool:
    """Make the finished file appear as `path`; False if that name is taken."""
    try:
        # Unlike a replacement, a link fails on a taken name, also where two programs write into one folder.
        os.link(partial, path)
    except FileExistsError:
        return False
    except OSError:
        # No hard links here (FAT, some network folders): the next best is to look first.
        if path.exists():
            return False
        os.replace(partial, path)
    return True


def _beside(folder: Path) -> Path:
    return folder / f".{secrets.token_hex(8)}.part"


def _refusal(folder: Path, error: OSError | ValueError) -> StorageError:
    where = f"the folder {folder}"
    match error:
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return StorageError(f"The disk is full, so nothing was written to {where}; free some space and try again.")
        case FileExistsError() | NotADirectoryError():
            return StorageError(f"Pictures cannot go to {where}: a file has that name; choose another folder.")
        case OSError():
            why = error.strerror or type(error).__name__
        case _:
            why = "no such name is possible"
    return StorageError(f"Pictures cannot be written to {where} ({why}); choose another folder.")
