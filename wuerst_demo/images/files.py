"""Finished images as PNG files: written completely or not at all, never over another file.

The prompt is in the file's metadata, never in its name.
"""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO

from wuerst_demo.errors import StorageError
from wuerst_demo.events import Result
from wuerst_demo.images.metadata import build_png_info, build_webp_xmp
from wuerst_demo.images.png_text import add_png_text

if TYPE_CHECKING:
    from PIL.Image import Image

    from wuerst_demo.request import Request

NO_TEXTS: Mapping[str, str] = MappingProxyType({})
PNG_COMPRESSION = {"compress_level": 1, "compress_type": zlib.Z_RLE}
"""Three times as fast as zlib's level 4, and pictures, which repeat nothing but plain areas, become smaller files."""
END_DURATION_MS, FRAME_DURATION_MS = 800, 120
"""How long an animation shows its ends and the images between them."""
ANIMATION_QUALITY = 90
PARTIAL_FILE_TTL_S = 3600.0
"""Age from which on a partial file is nobody's: writing one takes less than a second."""
_PARTIAL_NAME = re.compile(r"\.[0-9a-f]{16}\.part")
OpenFile = Callable[[Path], BinaryIO]


def _open_new(path: Path) -> BinaryIO:
    return open(path, "xb")


def save_image(
    result: Result,
    folder: Path,
    checkpoint: str = "",
    revision: str = "",
    *,
    texts: Mapping[str, str] = NO_TEXTS,
    stem: str = "",
    now: datetime | None = None,
    durable: bool = True,
    open_new: OpenFile = _open_new,
) -> Path:
    """Write a finished image with its request into `folder`, created if missing, and return the file's path.

    `texts` are further PNG texts by keyword (at most 79 Latin-1 characters). The file is called `stem`, by default the
    time and the seed; names that are taken are numbered. A `durable` file is on the disk itself when this returns,
    which temporary ones need not be. Raises StorageError, and then leaves nothing behind.
    """
    encoded = io.BytesIO()
    info = build_png_info(result.request, checkpoint, revision, result.image_embeddings)
    for keyword, text in texts.items():
        add_png_text(info, keyword, text)
    result.image.save(encoded, "PNG", pnginfo=info, **PNG_COMPRESSION)
    stem = stem or f"{now or datetime.now():%Y%m%d-%H%M%S}-seed{result.request.seed}"
    return _write(encoded.getbuffer(), folder, stem, ".png", open_new, durable)


def save_animation(
    images: Sequence[Image],
    request: Request,
    folder: Path,
    checkpoint: str = "",
    revision: str = "",
    *,
    stem: str = "",
    now: datetime | None = None,
    durable: bool = True,
    open_new: OpenFile = _open_new,
) -> Path:
    """Write the images of a request, such as a morph, as a WebP file that plays them there and back without an end.

    It carries the request as images do. Returns its path. Raises StorageError, and then leaves nothing behind.
    """
    encoded = io.BytesIO()
    durations = [END_DURATION_MS, *[FRAME_DURATION_MS] * (len(images) - 2), END_DURATION_MS]
    images[0].save(
        encoded,
        "WEBP",
        save_all=True,
        append_images=[*images[1:], *images[-2:0:-1]],
        duration=durations + durations[-2:0:-1],
        loop=0,
        quality=ANIMATION_QUALITY,
        xmp=build_webp_xmp(request, checkpoint, revision),
    )
    stem = stem or f"{now or datetime.now():%Y%m%d-%H%M%S}-morph"
    return _write(encoded.getbuffer(), folder, stem, ".webp", open_new, durable)


def copy_image(file: Path, folder: Path, *, open_new: OpenFile = _open_new) -> Path:
    """Copy an image file, byte for byte, into `folder`, created if missing, and return the copy's path.

    It keeps its name unless that is taken. Raises StorageError, and then leaves nothing behind.
    """
    try:
        data = memoryview(file.read_bytes())
    except OSError as error:
        raise _storage_error(folder, error) from error
    return _write(data, folder, file.stem, ".png", open_new)


def check_writable(folder: Path) -> None:
    """Check that a file can be written to `folder`, which may not exist yet; leaves the disk unchanged.

    Raises StorageError.
    """
    made: list[Path] = []
    try:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(exist_ok=True)  # "a/..", for example, exists once "a" does
            made.append(each)
        probe = _partial_path(folder)
        probe.touch(exist_ok=False)
        probe.unlink()
    except (OSError, ValueError) as error:
        raise _storage_error(folder, error) from error
    finally:
        for each in reversed(made):
            with suppress(OSError):
                each.rmdir()


def delete_partial_files(folder: Path, before: float) -> None:
    """Delete what killed processes left half written in `folder` before this time, in seconds since 1970."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                stale = _PARTIAL_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
                if stale and entry.stat(follow_symlinks=False).st_mtime < before:
                    os.unlink(entry.path)


def _write(data: memoryview, folder: Path, stem: str, ending: str, open_new: OpenFile, durable: bool = True) -> Path:
    """Write into `folder`, created if missing. Raises StorageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _write_unique(data, folder, stem, ending, open_new, durable)
    except OSError as error:
        raise _storage_error(folder, error) from error


def _write_unique(
    data: memoryview, folder: Path, stem: str, ending: str, open_new: OpenFile, durable: bool = True
) -> Path:
    """Write under the first free name of `stem`, `stem-2`, ...; readers see the complete file or none."""
    partial = _partial_path(folder)
    try:
        with open_new(partial) as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        number = 1
        while True:
            path = folder / (f"{stem}{ending}" if number == 1 else f"{stem}-{number}{ending}")
            if _link_to_name(partial, path):
                return path
            number += 1
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _link_to_name(partial: Path, path: Path) -> bool:
    """Give the complete file its name; False if that is taken."""
    try:
        # Unlike a rename, a link fails on a taken name, also where two programs write into one folder.
        os.link(partial, path)
    except FileExistsError:
        return False
    except OSError:
        # No hard links on this disk (FAT, some network folders): the best that is left is to check first.
        if path.exists():
            return False
        os.replace(partial, path)
    return True


def _partial_path(folder: Path) -> Path:
    return folder / f".{secrets.token_hex(8)}.part"


def _storage_error(folder: Path, error: OSError | ValueError) -> StorageError:
    where = f"the folder {folder}"
    match error:
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return StorageError(
                "The disk is full, so nothing was written to {folder}; free some space and try again.", folder=where
            )
        case FileExistsError() | NotADirectoryError():
            return StorageError(
                "Pictures cannot be written to {folder}: a file has that name; choose another folder.", folder=where
            )
        case OSError():
            why = error.strerror or type(error).__name__
        case _:
            why = "no such name is possible"
    return StorageError(
        "Pictures cannot be written to {folder} ({reason}); choose another folder.", folder=where, reason=why
    )
