"""Texts in the EXIF and XMP data of untrusted JPEG, WebP and PNG files, without their pixels.

Pillow parses EXIF too, but copies every tag: tags that share their bytes make hundreds of megabytes of a few kilobytes.
Sources: EXIF 2.32 (4.6), JPEG (ITU-T T.81, B.1.1), WebP (RFC 9649, 2).
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from wuerst_demo.images.image_texts import (
    GRAPH_KEYWORD,
    PARAMETERS_KEYWORD,
    XMP_KEYWORD,
    ImageTexts,
    damaged_error,
    decode_bytes,
)

MAX_PARTS = 4096
"""Segments of a JPEG file before its pixels, or chunks of a WebP file: an animation has one a frame."""
_MAX_TAGS = 256
_EXIF_POINTER, _USER_COMMENT = 0x8769, 0x9286
_TAG_KEYWORDS = {0x010E: "Description", 0x010F: "Make", 0x0110: "Model", 0x0131: "Software"}
_TEXT_TYPES = (1, 2, 7)
"""BYTE, ASCII, UNDEFINED: one byte each."""
_START_OF_SCAN, _END_OF_IMAGE, _APP1, _COMMENT = 0xDA, 0xD9, 0xE1, 0xFE
_EXIF_HEADER, _XMP_HEADER = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"


def read_jpeg_texts(file: BinaryIO) -> ImageTexts:
    """The texts of a JPEG file from behind its first marker. Raises ImageFileError for a damaged one."""
    texts = ImageTexts()
    for _ in range(MAX_PARTS):
        head = file.read(2)
        if len(head) < 2 or head[0] != 0xFF:
            raise damaged_error()
        marker = head[1]
        if marker == 0xFF:  # fill byte
            file.seek(-1, 1)
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            return texts
        size = file.read(2)
        length = int.from_bytes(size, "big") - 2
        if len(size) < 2 or length < 0:
            raise damaged_error()
        if marker not in (_APP1, _COMMENT) or length > texts.remaining_exif:
            file.seek(length, 1)
            continue
        texts.remaining_exif -= length
        data = file.read(length)
        if len(data) < length:
            raise damaged_error()
        if marker == _COMMENT:
            _add(texts, "Comment", decode_bytes(data))
        elif data.startswith(_EXIF_HEADER):
            add_exif_texts(data, texts)
        elif data.startswith(_XMP_HEADER):
            _add(texts, XMP_KEYWORD, decode_bytes(data[len(_XMP_HEADER) :]))
    raise damaged_error()


def read_webp_texts(file: BinaryIO) -> ImageTexts:
    """The texts of a WebP file from behind its RIFF header. Raises ImageFileError for a damaged one."""
    texts = ImageTexts()
    for _ in range(MAX_PARTS):
        head = file.read(8)
        if len(head) < 8:
            return texts
        kind, length = struct.unpack("<4sI", head)
        if kind in (b"EXIF", b"XMP ") and length <= texts.remaining_exif:
            texts.remaining_exif -= length
            data = file.read(length)
            if len(data) < length:
                raise damaged_error()
            if kind == b"EXIF":
                add_exif_texts(data, texts)
            else:
                _add(texts, XMP_KEYWORD, decode_bytes(data))
            file.seek(length % 2, 1)
        else:
            texts.too_long |= kind in (b"EXIF", b"XMP ")
            file.seek(length + length % 2, 1)
    raise damaged_error()


def add_exif_texts(data: bytes, texts: ImageTexts) -> None:
    """Add the texts of EXIF data. Damaged data adds as much as can be read.

    ComfyUI writes its graph into Make or Model, as "prompt:{...}".
    """
    data = data.removeprefix(_EXIF_HEADER)
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return
    tags = _read_tags(data, order, struct.unpack_from(order + "I", data, 4)[0])
    if (pointer := tags.get(_EXIF_POINTER)) is not None and len(pointer) == 4:
        tags |= _read_tags(data, order, struct.unpack(order + "I", pointer)[0])
    for tag, keyword in _TAG_KEYWORDS.items():
        if text := decode_bytes(tags.get(tag, b"").rstrip(b"\0")):
            name, _, rest = text.partition(":")
            if name.lower() in (GRAPH_KEYWORD, "workflow") and rest.lstrip().startswith("{"):
                keyword, text = name.lower(), rest
            _add(texts, keyword, text)
    if comment := _decode_user_comment(tags.get(_USER_COMMENT, b""), order):
        _add(texts, PARAMETERS_KEYWORD, comment)


def _add(texts: ImageTexts, keyword: str, text: str) -> None:
    if len(text) > texts.remaining:
        texts.too_long = True
    else:
        texts.remaining -= len(text)
        texts.add(keyword, text)


def _read_tags(data: bytes, order: str, position: int) -> dict[int, bytes]:
    """Bytes of the tags of a directory (IFD) that this module reads."""
    found: dict[int, bytes] = {}
    if position + 2 > len(data):
        return found
    (count,) = struct.unpack_from(order + "H", data, position)
    for number in range(min(count, _MAX_TAGS)):
        entry = position + 2 + 12 * number
        if entry + 12 > len(data):
            break
        tag, kind, size = struct.unpack_from(order + "HHI", data, entry)
        value = data[entry + 8 : entry + 12]
        if tag == _EXIF_POINTER:
            found[tag] = value
        elif (tag in _TAG_KEYWORDS or tag == _USER_COMMENT) and kind in _TEXT_TYPES:
            start = struct.unpack(order + "I", value)[0] if size > 4 else entry + 8
            found[tag] = data[start : start + size]
    return found


def _decode_user_comment(data: bytes, order: str) -> str:
    """The text of a UserComment: eight bytes name its encoding, which not all programs write."""
    code, body = data[:8], data[8:]
    if code == b"UNICODE\0":
        return _decode_utf16(body, order).strip("\0 ")
    if code in (b"ASCII\0\0\0", b"JIS\0\0\0\0\0", b"\0" * 8):
        return decode_bytes(body).strip("\0 ")
    return decode_bytes(data).strip("\0 ")


def _decode_utf16(body: bytes, order: str) -> str:
    """UTF-16 in the byte order that its ASCII characters show, or UTF-8: programs differ."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return body.decode("utf-16", "replace")
    even, odd = body[0::2].count(0), body[1::2].count(0)
    if not even and not odd:
        return decode_bytes(body)
    little = odd > even if odd != even else order == "<"
    return body.decode("utf-16-le" if little else "utf-16-be", "replace")
