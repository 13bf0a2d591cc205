"""Settings in image files: a request written into the PNG file it generated, and parsed from PNG, JPEG and WebP files.

A PNG file of this program carries its request twice: in the text `wuerst_demo`, complete as JSON, which restores it
exactly, and in `parameters`, the format that other programs exchange. XMP marks the image as made by a trained model.
Parsed values are untrusted until `Limits.request` has validated them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from PIL.PngImagePlugin import PngInfo

from wuerst_demo import __version__
from wuerst_demo.errors import ImageFileError, MetadataError
from wuerst_demo.images.a1111_parameters import format_parameters
from wuerst_demo.images.exif import read_jpeg_texts, read_webp_texts
from wuerst_demo.images.foreign_metadata import parse_foreign_texts
from wuerst_demo.images.image_texts import (
    EMBEDDINGS_KEYWORD,
    GRAPH_KEYWORD,
    PARAMETERS_KEYWORD,
    RECORD_KEYWORD,
    XMP_KEYWORD,
    ImageTexts,
)
from wuerst_demo.images.parsed_settings import ParsedSettings
from wuerst_demo.images.png_text import PNG_SIGNATURE, add_png_text, read_png_texts
from wuerst_demo.images.xmp import XMP_RECORD, xmp_text
from wuerst_demo.request import Request

RECORD_FORMAT = 1
"""Version of the record; newer ones are rejected."""
MAX_NAME_CHARS = 5000
_VALUES_BEFORE: Mapping[str, object] = MappingProxyType({"sampler": "ddpm", "guidance_from": 0.0, "guidance_to": 1.0})
"""How images were generated before a request had these fields: records without them mean these values, whatever the
checkpoint's defaults are now."""

AI_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's code for media made by a trained model, the value of `Iptc4xmpExt:DigitalSourceType`."""
_XMP_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    f"<xmp:CreatorTool>wuerst_demo {__version__}</xmp:CreatorTool>"
    f"<Iptc4xmpExt:DigitalSourceType>{AI_SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>{{}}"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def build_png_info(request: Request, checkpoint: str = "", revision: str = "", image_embeddings: str = "") -> PngInfo:
    """Texts for `Image.save(..., pnginfo=...)`: the request, its checkpoint, and the mark of a trained model.

    `image_embeddings` is the prior's result of the image as text, "" to leave it out.
    """
    info = ai_png_info()
    add_png_text(info, RECORD_KEYWORD, _format_record(request, checkpoint, revision))
    add_png_text(info, PARAMETERS_KEYWORD, format_parameters(request, checkpoint))
    if image_embeddings:
        info.add_text(EMBEDDINGS_KEYWORD, image_embeddings)
    return info


def ai_png_info() -> PngInfo:
    """The XMP mark of an image made by a trained model, and nothing else."""
    info = PngInfo()
    info.add_itxt(XMP_KEYWORD, _XMP_PACKET.format(""))
    return info


def build_webp_xmp(request: Request, checkpoint: str = "", revision: str = "") -> bytes:
    """XMP for `Image.save(..., xmp=...)` of a WebP file: what `build_png_info` says, but for other programs' format."""
    record = escape(_format_record(request, checkpoint, revision))
    element = f'<{XMP_RECORD} xmlns:wuerst="urn:wuerst_demo">{record}</{XMP_RECORD}>'
    return _XMP_PACKET.format(element).encode()


def _format_record(request: Request, checkpoint: str, revision: str) -> str:
    record = {
        "format": RECORD_FORMAT,
        "program": f"wuerst_demo {__version__}",
        "checkpoint": checkpoint,
        "revision": revision,
        "request": request.to_dict(),
    }
    return json.dumps(record, ensure_ascii=False)


def read_image_settings(file: Path | str | BinaryIO) -> ParsedSettings:
    """The settings in a PNG, JPEG or WebP file; the project's own record takes precedence over other programs'.

    Raises ImageFileError for a file that is of another kind or damaged, and MetadataError for one without settings that
    are understood.
    """
    try:
        if isinstance(file, Path | str):
            with open(file, "rb") as opened:
                texts = _read_texts(opened)
        else:
            texts = _read_texts(file)
    except OSError as error:
        raise ImageFileError(
            "The file cannot be read ({reason}); choose another.", reason=error.strerror or error
        ) from error
    in_xmp = xmp_text(texts.settings.get(XMP_KEYWORD, ""), XMP_RECORD)
    if in_xmp or RECORD_KEYWORD in texts.settings:
        record = _parse_record(texts.settings.get(RECORD_KEYWORD, in_xmp))
        return dataclasses.replace(record, image_embeddings=texts.settings.get(EMBEDDINGS_KEYWORD, ""))
    settings = parse_foreign_texts(texts.settings)
    if settings is None:
        raise _not_understood(texts)
    return settings


def _read_texts(file: BinaryIO) -> ImageTexts:
    """Texts of a file, judged by its content and not by its name."""
    start = file.read(12)
    if start.startswith(PNG_SIGNATURE):
        file.seek(len(PNG_SIGNATURE))
        return read_png_texts(file)
    if start.startswith(b"\xff\xd8\xff"):
        file.seek(2)
        return read_jpeg_texts(file)
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return read_webp_texts(file)
    raise ImageFileError(
        "The file is not a PNG, JPEG or WebP picture; use the file that this demo or another program generated."
    )


def _not_understood(texts: ImageTexts) -> MetadataError:
    """Why a file without settings has none, as far as the file shows it."""
    shown = texts.shown()
    if texts.too_long:
        return MetadataError("The picture contains more text than is read; copy what you need from it.", text=shown)
    if '"class_type"' in texts.settings.get(GRAPH_KEYWORD, ""):
        return MetadataError(
            "The picture was generated by a graph of ComfyUI that is not understood; copy what you need from its text.",
            text=shown,
        )
    if "workflow" in texts.excerpts:
        return MetadataError(
            "The picture contains a workflow but not the settings of its run; open it in the program that wrote it.",
            text=shown,
        )
    if shown:
        return MetadataError("The settings in the picture are not understood; copy them from its text.", text=shown)
    return MetadataError("The picture contains no settings; use the file as the program that generated it wrote it.")


def _parse_record(text: str) -> ParsedSettings:
    damaged = ImageFileError("The settings in the picture are damaged; use the original file.")
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged from error
    if not isinstance(record, dict) or not isinstance(record.get("request"), dict):
        raise damaged
    version = record.get("format")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise damaged
    if version > RECORD_FORMAT:
        raise MetadataError(
            "The picture was generated by a newer version of this demo; update it to read the settings."
        )
    names = {name: record.get(name, "") for name in ("checkpoint", "revision", "program")}
    if not all(isinstance(each, str) and len(each) <= MAX_NAME_CHARS for each in names.values()):
        raise damaged
    if None in record["request"].values():
        raise damaged
    fields = {each.name for each in dataclasses.fields(Request)}
    known = {name: value for name, value in record["request"].items() if name in fields}
    values = {**_VALUES_BEFORE, **known}
    unsupported = tuple(name for name in record["request"] if name not in fields)
    return ParsedSettings(values, unsupported=unsupported, **names)
