"""A request inside the PNG file it drew, and out of it again.

A file carries its request twice: as `wuerst_demo`, complete and as JSON, which brings it back character by character,
and as `parameters`, the form that other programs write and read. Beside them stands, for machines, that the picture
was made by a trained model. Reading takes a file as a stranger's: what it finds is untrusted until `Limits.request`
has taken it.

Does not know torch, Gradio or where files belong.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import BinaryIO

from PIL.PngImagePlugin import PngInfo

from wuerst_demo import __version__
from wuerst_demo.errors import MetadataError
from wuerst_demo.foreign import from_graph, from_parameters, parameters
from wuerst_demo.found import Found
from wuerst_demo.png import texts
from wuerst_demo.request import DESCRIPTIONS, Request

OURS = "wuerst_demo"
THEIRS = "parameters"
GRAPH = "prompt"
"""Where ComfyUI says what it ran."""
FORMAT = 1
"""The form of our record. A reader refuses a newer one rather than guess."""
LONGEST_NAME = 5000
_READ = (OURS, THEIRS, GRAPH)

XMP = "XML:com.adobe.xmp"
MADE_BY_AI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's word for media that a trained model made, as `Iptc4xmpExt:DigitalSourceType` holds it."""
_MARK = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    f"<xmp:CreatorTool>wuerst_demo {__version__}</xmp:CreatorTool>"
    f"<Iptc4xmpExt:DigitalSourceType>{MADE_BY_AI}</Iptc4xmpExt:DigitalSourceType>"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def to_png_text(request: Request, checkpoint: str = "", revision: str = "") -> PngInfo:
    """The texts for `Image.save(..., pnginfo=...)` that bring `request` back, name the checkpoint that drew it, and say
    that a model made the picture."""
    record = {
        "format": FORMAT,
        "program": f"wuerst_demo {__version__}",
        "checkpoint": checkpoint,
        "revision": revision,
        "request": dataclasses.asdict(request),
    }
    info = marked()
    info.add_itxt(OURS, json.dumps(record, ensure_ascii=False))
    info.add_itxt(THEIRS, parameters(request, checkpoint))
    return info


def marked() -> PngInfo:
    """The text that tells machines that a picture was made by a trained model, and nothing else."""
    info = PngInfo()
    info.add_itxt(XMP, _MARK)
    return info


def from_png(file: Path | str | BinaryIO) -> Found:
    """What a PNG file says about how it was drawn, our own record before another program's.

    Raises MetadataError for a file that is no PNG, is damaged, is larger than any picture a request can ask for, or
    says nothing of the kind.
    """
    try:
        if isinstance(file, Path | str):
            with open(file, "rb") as opened:
                found = dict(texts(opened, _READ))
        else:
            found = dict(texts(file, _READ))
    except OSError as error:
        raise MetadataError(f"The file cannot be read ({error.strerror or error}); choose another.") from error
    if OURS in found:
        return _ours(found[OURS])
    if THEIRS in found:
        return from_parameters(found[THEIRS])
    if GRAPH in found:
        return from_graph(found[GRAPH])
    raise MetadataError(
        "The picture carries no settings: they get lost where a program saves it anew. Use the file as it was saved."
    )


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
