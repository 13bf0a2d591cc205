"""A request inside the PNG file it drew, and out of it again.

A file carries its request twice: as `wuerst_demo`, complete and as JSON, which brings it back character by character,
and as `parameters`, the form that other programs write and read. Reading takes a file as a stranger's: it looks at
chunks of text only, never at pixels, each of them bounded and checked before it is believed, and what it finds is
untrusted until `Limits.request` has taken it.

Does not know torch, Gradio or where files belong. The chunks are those of the PNG specification, section 11.3.3.
"""

from __future__ import annotations

import dataclasses
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL.PngImagePlugin import PngInfo

from wuerst_demo import __version__
from wuerst_demo.errors import InvalidRequest, MetadataError
from wuerst_demo.request import DESCRIPTIONS, Limits, Request, from_text

OURS = "wuerst_demo"
THEIRS = "parameters"
FORMAT = 1
"""The form of our record. A reader refuses a newer one rather than guess."""

LONGEST_TEXT = 2**20
LONGEST_NAME = 500
LARGEST_SIDE = 10_000
MOST_CHUNKS = 2**16
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")


@dataclass(frozen=True)
class Found:
    """What a file says about how it was drawn. `values` are untrusted: pass them to `Limits.request`, or use `fit`.

    `unread` names what the file says beyond that, such as another program's sampler.
    """

    values: Mapping[str, object]
    checkpoint: str = ""
    revision: str = ""
    program: str = ""
    unread: tuple[str, ...] = ()

    def fit(self, limits: Limits) -> tuple[dict[str, object], tuple[str, ...]]:
        """The values that `limits` admit, and one sentence for each that they do not."""
        values: dict[str, object] = {}
        refused: list[str] = []
        for name, value in self.values.items():
            try:
                limits.request({name: value})
            except InvalidRequest as error:
                refused.append(str(error))
            else:
                values[name] = value
        return values, tuple(refused)


def to_png_text(request: Request, checkpoint: str = "", revision: str = "") -> PngInfo:
    """The texts for `Image.save(..., pnginfo=...)` that bring `request` back, and name the checkpoint that drew it."""
    record = {
        "format": FORMAT,
        "program": f"wuerst_demo {__version__}",
        "checkpoint": checkpoint,
        "revision": revision,
        "request": dataclasses.asdict(request),
    }
    info = PngInfo()
    info.add_itxt(OURS, json.dumps(record, ensure_ascii=False))
    info.add_itxt(THEIRS, _parameters(request, checkpoint))
    return info


def from_png(file: Path | str | BinaryIO) -> Found:
    """What a PNG file says about how it was drawn, our own record before another program's.

    Raises MetadataError for a file that is no PNG, is damaged, is larger than any picture a request can ask for, or
    says nothing of the kind.
    """
    try:
        if isinstance(file, Path | str):
            with open(file, "rb") as opened:
                texts = dict(_texts(opened))
        else:
            texts = dict(_texts(file))
    except OSError as error:
        raise MetadataError(f"The file cannot be read ({error.strerror or error}); choose another.") from error
    if OURS in texts:
        return _ours(texts[OURS])
    if THEIRS in texts:
        return _theirs(texts[THEIRS])
    raise MetadataError(
        "The picture carries no settings: they get lost where a program saves it anew. Use the file as it was saved."
    )


def _texts(file: BinaryIO) -> Iterator[tuple[str, str]]:
    """Keyword and text of the chunks that are ours to read; of several with one keyword, the last holds."""
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
        if kind in _TEXTS:
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
        if keyword in (OURS.encode(), THEIRS.encode()):
            yield keyword.decode(), _text(kind, rest)
    raise damaged


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


def _ours(text: str) -> Found:
    unusable = MetadataError("The picture's own record is damaged; use the file as it was saved.")
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise unusable from error
    if not isinstance(record, dict) or not isinstance(record.get("request"), dict):
        raise unusable
    version = record.get("format")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise unusable
    if version > FORMAT:
        raise MetadataError("The picture was drawn by a newer version of this demo; update it to read the settings.")
    said = {name: record.get(name, "") for name in ("checkpoint", "revision", "program")}
    if not all(isinstance(each, str) and len(each) <= LONGEST_NAME for each in said.values()):
        raise unusable
    if None in record["request"].values():
        raise unusable
    values = {name: value for name, value in record["request"].items() if name in DESCRIPTIONS}
    return Found(values, unread=tuple(name for name in record["request"] if name not in DESCRIPTIONS), **said)


# The form of `parameters`: the prompt; "Negative prompt: " and the negative prompt; one line of "Name: value" pairs,
# where a value that holds a comma, a colon or a line break is quoted as JSON.

_NEGATIVE = "Negative prompt: "
_PAIR = re.compile(r'(\w[\w /-]{0,60}):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_NUMBERS = {
    "Steps": "prior_steps",
    "CFG scale": "prior_guidance",
    "Seed": "seed",
    "Decoder steps": "decoder_steps",
    "Decoder CFG scale": "decoder_guidance",
}
_SCHEDULE = "Schedule type"
_WEIGHTING = "Prompt weighting"


def _parameters(request: Request, checkpoint: str) -> str:
    pairs: dict[str, object] = {
        "Steps": request.prior_steps,
        "Sampler": "DDPM Wuerstchen",
        _SCHEDULE: request.prior_schedule,
        "CFG scale": f"{request.prior_guidance:g}",
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        "Model": checkpoint,
        "Decoder steps": request.decoder_steps,
        "Decoder CFG scale": f"{request.decoder_guidance:g}",
        _WEIGHTING: "on" if request.weighting else "off",
        "Version": f"wuerst_demo {__version__}",
    }
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(_NEGATIVE + request.negative_prompt)
    lines.append(", ".join(f"{name}: {_quoted(str(value))}" for name, value in pairs.items() if value != ""))
    return "\n".join(lines)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(c in value for c in ',:\n"') else value


def _theirs(text: str) -> Found:
    body, _, last = text.strip().rpartition("\n")
    pairs = [(name, _unquoted(value)) for name, value in _PAIR.findall(last)]
    if not {"Steps", "Seed"} & {name for name, _ in pairs}:
        # No settings, but a prompt alone, whose last line happens to hold a colon.
        body, pairs = text.strip(), []
    prompt, negative, negative_prompt = ("\n" + body).partition("\n" + _NEGATIVE)
    values: dict[str, object] = {"prompt": prompt[1:]}
    if negative:
        values["negative_prompt"] = negative_prompt
    unread: list[str] = []
    said: dict[str, str] = {}
    for name, value in pairs:
        size = re.fullmatch(r"(\d{1,6})x(\d{1,6})", value)
        if name in _NUMBERS:
            values[_NUMBERS[name]] = from_text(DESCRIPTIONS[_NUMBERS[name]], value)
        elif name == "Size" and size:
            values |= {"width": int(size[1]), "height": int(size[2])}
        elif name == _SCHEDULE and value in ("two-part", "linear"):
            values["prior_schedule"] = value
        elif name == _WEIGHTING:
            values["weighting"] = from_text(DESCRIPTIONS["weighting"], value)
        elif name in ("Model", "Version"):
            said[name] = value
        else:
            unread.append(name)
    return Found(values, said.get("Model", ""), program=said.get("Version", ""), unread=tuple(unread))


def _unquoted(value: str) -> str:
    value = value.strip()
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError:
            return value
    return value
