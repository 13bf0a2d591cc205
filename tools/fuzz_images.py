"""What `tools.fuzz` reads of image files: whole files, their EXIF data, and the texts of other programs."""

from __future__ import annotations

import io
import json
import struct
import zlib

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tools.fuzz_target import FILE_BOUND_S, Target
from wuerst_demo.images.foreign_metadata import parse_foreign_texts
from wuerst_demo.images.image_texts import decode_bytes
from wuerst_demo.images.metadata import build_png_info, read_image_settings
from wuerst_demo.request import Limits

_PARAMETERS = (
    "a cat\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x512,"
    ' Lora hashes: "x: 1", Version: v1.10'
)
_GRAPH = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 5, "steps": ["7", 0], "cfg": 8.0, "positive": ["6", 0], "latent_image": ["5", 0]},
    },
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}},
    "7": {"class_type": "Int", "inputs": {"value": 20}},
}
_FLAT = {"prompt": "a cat", "uc": "blurry", "steps": 20, "scale": 5.5, "seed": 5, "size": "512x512", "model": "mix"}
_XMP = "<exif:UserComment><rdf:li>{}</rdf:li></exif:UserComment>"
_TEXTS = (
    {"parameters": _PARAMETERS},
    {"parameters": json.dumps({"sui_image_params": _FLAT})},
    {"prompt": json.dumps(_GRAPH)},
    {"Comment": json.dumps(_FLAT), "Software": "NovelAI"},
    {"invokeai_metadata": json.dumps(_FLAT | {"positive_prompt": "a cat"})},
    {"sd-metadata": json.dumps({"image": _FLAT | {"prompt": [{"prompt": "a cat [fog]"}]}})},
    {"Dream": '"a barn [fog]" -s 25 -S 77 -W 256 -H 256 -C 7.5 -A k_euler'},
    {"XML:com.adobe.xmp": _XMP.format(json.dumps({"c": "a cat"} | _FLAT).replace('"', "&quot;"))},
    {"Description": "a cat --no fog --seed 5 --ar 3:2 Job ID: 00000000-0000-0000-0000-000000000000"},
    {"prompt": "a cat", "seed": "5", "num_inference_steps": "20", "use_stable_diffusion_model": "mix"},
)
_WORDS = ("Negative prompt: ", "Steps: ", '"inputs"', '["3", 0]', ", Size: ", "&quot;", " --no ", "[[", "class_type")


def list_image_targets() -> dict[str, Target]:
    """Every reader of image files by name."""
    pngs = [_png(parameters=_PARAMETERS), _png(prompt=json.dumps(_GRAPH)), _png(Comment="{}", Description="a cat")]
    own = io.BytesIO()
    info = build_png_info(Limits().request({"prompt": "a (red)1.5 cat"}))
    Image.new("RGB", (8, 8)).save(own, "PNG", pnginfo=info)
    exif = [_exif(_PARAMETERS), _exif(json.dumps(_FLAT))]
    return {
        "png": Target([*pngs, own.getvalue()], _read, ("tEXt", "zTXt", "iTXt", *_WORDS), FILE_BOUND_S, _whole_png),
        "jpeg": Target([_jpeg(each) for each in exif], _read, ("Exif", *_WORDS), FILE_BOUND_S),
        "webp": Target([_webp(each) for each in exif], _read, ("EXIF", "XMP ", *_WORDS), FILE_BOUND_S),
        "exif": Target([each.tobytes() for each in exif], _read_exif, ("II*\0", "MM\0*", *_WORDS), FILE_BOUND_S),
        "texts": Target([_pack(each) for each in _TEXTS], _read_texts, _WORDS),
    }


def _read(data: bytes) -> None:
    read_image_settings(io.BytesIO(data)).fit(Limits())


def _read_exif(data: bytes) -> None:
    """Read EXIF data in a file that is whole but for it."""
    size = len(data) + len(data) % 2
    _read(b"RIFF" + struct.pack("<I", size + 12) + b"WEBPEXIF" + struct.pack("<I", len(data)) + data)


def _read_texts(data: bytes) -> None:
    texts = dict(decode_bytes(each).partition("\0")[::2] for each in data.split(b"\x1e"))
    if settings := parse_foreign_texts(texts):
        settings.fit(Limits())


def _pack(texts: dict[str, str]) -> bytes:
    return b"\x1e".join(f"{keyword}\0{text}".encode() for keyword, text in texts.items())


def _exif(comment: str) -> Image.Exif:
    exif = Image.Exif()
    exif[0x8769] = {0x9286: b"UNICODE\0" + comment.encode("utf-16-be")}
    return exif


def _jpeg(exif: Image.Exif) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def _webp(exif: Image.Exif) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "WEBP", exif=exif)
    return file.getvalue()


def _png(**texts: str) -> bytes:
    """A PNG file of 8 x 8 pixels with these texts."""
    info, file = PngInfo(), io.BytesIO()
    for key, text in texts.items():
        info.add_itxt(key, text)
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def _whole_png(data: bytes) -> bytes:
    """The PNG with the length and check sum of every chunk made right: chunks are found by the names of their kinds."""
    kinds = (b"IHDR", b"tEXt", b"zTXt", b"iTXt", b"IDAT", b"IEND")
    starts = sorted(at for kind in kinds for at in _all_positions(data, kind))
    if not starts:
        return data
    out = bytearray(b"\x89PNG\r\n\x1a\n")
    for at, end in zip(starts, [*(start - 8 for start in starts[1:]), len(data) - 4], strict=True):
        body = data[at + 4 : max(at + 4, end)]
        kind = data[at : at + 4]
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return bytes(out)


def _all_positions(data: bytes, word: bytes) -> list[int]:
    positions, at = [], data.find(word)
    while at >= 0:
        positions.append(at)
        at = data.find(word, at + 1)
    return positions
