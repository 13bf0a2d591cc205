"""Text chunks of an untrusted PNG file, bounded and checked, without its pixels (PNG specification, 11.3.3).

Pillow reads text chunks too, but whatever their keyword and length, and does not notice a file that is cut short.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from PIL.PngImagePlugin import PngInfo

from wuerst_demo.errors import ImageFileError
from wuerst_demo.images.exif import add_exif_texts
from wuerst_demo.images.image_texts import (
    MAX_EXCERPT_CHARS,
    MAX_EXCERPTS,
    SETTINGS_KEYWORDS,
    ImageTexts,
    damaged_error,
    decode_bytes,
)

MAX_SIDE_PX = 10_000
MAX_CHUNKS = 10_000
"""libpng writes 8,192 chunks for 64 MiB of pixels."""
MAX_KEYWORD_BYTES = 79
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")


class _TextTooLong(Exception):
    """A text exceeds its bound once decompressed."""


def read_png_texts(file: BinaryIO) -> ImageTexts:
    """The texts of a PNG file from behind its signature.

    Raises ImageFileError for a file that is damaged, or larger than MAX_SIDE_PX a side.
    """
    texts = ImageTexts()
    for kind, length in _chunk_heads(file):
        if kind == b"IHDR":
            _check_size(_read_chunk(file, kind, length))
        elif kind == b"eXIf" and length <= texts.remaining_exif:
            texts.remaining_exif -= length
            add_exif_texts(_read_chunk(file, kind, length), texts)
        elif kind in _TEXT_CHUNKS:
            _read_text(file, kind, length, texts)
        else:
            file.seek(length + 4, 1)
    return texts


def add_png_text(info: PngInfo, keyword: str, text: str) -> None:
    """Add a text as tEXt where that is unambiguous, for readers that know nothing else, and as iTXt otherwise."""
    try:
        data = text.encode("latin-1")
        plain = decode_bytes(data) == text
    except UnicodeEncodeError:
        plain = False
    if plain and "\0" not in text:
        info.add_text(keyword, text)
    else:
        info.add_itxt(keyword, text)


def _chunk_heads(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and length of each chunk before IEND; the caller moves the file behind the chunk."""
    for number in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            raise damaged_error()
        length, kind = struct.unpack(">I4s", head)
        if length >= 2**31 or (number == 0) != (kind == b"IHDR") or (number == 0 and length != 13):
            raise damaged_error()
        if kind == b"IEND":
            return
        yield kind, length
    raise damaged_error()


def _read_chunk(file: BinaryIO, kind: bytes, length: int) -> bytes:
    data = file.read(length)
    if len(data) < length or struct.pack(">I", zlib.crc32(kind + data)) != file.read(4):
        raise damaged_error()
    return data


def _check_size(header: bytes) -> None:
    width, height = struct.unpack(">II", header[:8])
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
        raise ImageFileError(
            "The picture is {width} x {height} pixels; the largest supported side is {most} pixels.",
            width=width,
            height=height,
            most=MAX_SIDE_PX,
        )


def _read_text(file: BinaryIO, kind: bytes, length: int, texts: ImageTexts) -> None:
    start = file.read(min(length, MAX_KEYWORD_BYTES + 1))
    file.seek(-len(start), 1)
    keyword = start.partition(b"\0")[0].decode("latin-1")
    if keyword in SETTINGS_KEYWORDS and length <= texts.remaining:
        rest = _read_chunk(file, kind, length).partition(b"\0")[2]
        try:
            text, size = _decode_text(kind, rest, texts.remaining)
        except _TextTooLong:
            texts.too_long = True
            return
        texts.remaining -= size
        texts.add(keyword, text)
        return
    if keyword in SETTINGS_KEYWORDS:
        texts.too_long = True
    most = MAX_EXCERPT_CHARS if len(texts.excerpts) < MAX_EXCERPTS else 0
    data = file.read(min(length, most))
    file.seek(length + 4 - len(data), 1)
    with suppress(_TextTooLong, ImageFileError):
        texts.excerpts.setdefault(keyword, _decode_text(kind, data.partition(b"\0")[2], MAX_EXCERPT_CHARS, "ignore")[0])


def _decode_text(kind: bytes, rest: bytes, max_bytes: int, errors: str = "strict") -> tuple[str, int]:
    """The text of a chunk from behind its keyword and zero byte, and its size in bytes. Raises _TextTooLong."""
    try:
        if kind == b"tEXt":
            return decode_bytes(rest), len(rest)
        if kind == b"zTXt":
            data = _inflate(rest[1:], max_bytes)
            return decode_bytes(data), len(data)
        compressed, rest = rest[:1] == b"\1", rest[2:]
        _language, _, rest = rest.partition(b"\0")
        _translated, _, rest = rest.partition(b"\0")
        data = _inflate(rest, max_bytes) if compressed else rest
        return data.decode("utf-8", errors), len(data)
    except (UnicodeDecodeError, zlib.error) as error:
        raise ImageFileError("The text in the picture file is damaged; use the original file.") from error


def _inflate(data: bytes, max_bytes: int) -> bytes:
    # A kilobyte may decompress to a megabyte: counted while decompressing.
    unpacked = zlib.decompressobj().decompress(data, max_bytes + 1)
    if len(unpacked) > max_bytes:
        raise _TextTooLong
    return unpacked
