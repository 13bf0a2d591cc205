"""The texts in a PNG file, read as a stranger's: chunks of text only, never pixels, each bounded and checked.

Does not know what the texts mean. The chunks are those of the PNG specification, section 11.3.3.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO

from wuerst_demo.errors import MetadataError

LONGEST_TEXT = 2**20
LARGEST_SIDE = 10_000
MOST_CHUNKS = 2**16
LONGEST_KEYWORD = 79
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")


def texts(file: BinaryIO, keywords: Collection[str]) -> Iterator[tuple[str, str]]:
    """Keyword and text of the chunks with these keywords, in the file's order.

    Raises MetadataError for a file that is no PNG, is damaged, holds too much text, or is larger than any picture a
    request can ask for. Reads no more than a megabyte of it, and passes over texts with other keywords.
    """
    damaged = MetadataError("The PNG file is damaged or cut short; use the original file.")
    if file.read(8) != _SIGNATURE:
        raise MetadataError("The file is not a PNG picture; use a PNG file that this demo or a similar program saved.")
    remaining = LONGEST_TEXT
    for number in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            raise damaged
        length, kind = struct.unpack(">I4s", head)
        if length >= 2**31 or (number == 0) != (kind == b"IHDR"):
            raise damaged
        if kind in _TEXTS and _keyword(file, length) in keywords:
            remaining -= length
            if remaining < 0:
                raise MetadataError("The PNG file holds more than a megabyte of text; use the file as it was saved.")
        elif kind == b"IEND":
            return
        elif kind != b"IHDR":
            file.seek(length + 4, 1)
            continue
        elif length != 13:
            raise damaged
        data = file.read(length)
        if len(data) < length or struct.pack(">I", zlib.crc32(kind + data)) != file.read(4):
            raise damaged
        if kind == b"IHDR":
            width, height = struct.unpack(">II", data[:8])
            if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
                raise MetadataError(
                    f"The picture is {width} x {height} pixels; files of up to {LARGEST_SIDE} a side are read."
                )
            continue
        keyword, _, rest = data.partition(b"\0")
        yield keyword.decode("latin-1"), _text(kind, rest)
    raise damaged


def _keyword(file: BinaryIO, length: int) -> str:
    """The keyword of the text chunk of so many bytes that begins here, where the file stands afterwards too."""
    begin = file.read(min(length, LONGEST_KEYWORD + 1))
    file.seek(-len(begin), 1)
    return begin.partition(b"\0")[0].decode("latin-1")


def _text(kind: bytes, rest: bytes) -> str:
    """The text of a chunk whose keyword and its zero byte are taken off."""
    try:
        if kind == b"tEXt":
            return rest.decode("latin-1")
        if kind == b"zTXt":
            return _inflate(rest[1:]).decode("latin-1")
        compressed, rest = rest[:1] == b"\1", rest[2:]
        _language, _, rest = rest.partition(b"\0")
        _translated, _, rest = rest.partition(b"\0")
        return (_inflate(rest) if compressed else rest).decode("utf-8")
    except (UnicodeDecodeError, zlib.error) as error:
        raise MetadataError("The PNG file's text is damaged; use the original file.") from error


def _inflate(data: bytes) -> bytes:
    # A megabyte of zeros packs into a kilobyte: unpack no more than one reads.
    unpacked = zlib.decompressobj().decompress(data, LONGEST_TEXT + 1)
    if len(unpacked) > LONGEST_TEXT:
        raise MetadataError("The PNG file holds more than a megabyte of text; use the file as it was saved.")
    return unpacked
