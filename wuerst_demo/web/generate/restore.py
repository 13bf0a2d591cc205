"""Settings restored from a link, a dropped image file, or the draft that the browser keeps over a reload.

All three are untrusted. Settings that the checkpoint supports are used; the others are listed as notes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import BinaryIO

from wuerst_demo.errors import MetadataError
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.images.parsed_settings import MAX_NAME_CHARS, ParsedSettings, shorten_name
from wuerst_demo.messages import Message, message
from wuerst_demo.request import DESCRIPTIONS, Limits
from wuerst_demo.web.generate.morph import from_json, to_json
from wuerst_demo.web.i18n.translate import translate
from wuerst_demo.web.shared.html import restore_notes
from wuerst_demo.web.shared.share_link import decode_link

OWN_PROGRAM_PREFIX = "wuerst_demo "
"""Start of the name that this program writes into its files."""
MAX_LISTED_SETTINGS = 12
MAX_TEXT_CHARS = 10_000
"""Most text of a file that is shown, or put into a field."""
_VERSION = re.compile(r"[vf]?\d|[0-9a-f]{7,40}$")
"""A version without its program's name."""
_OWN_FIELDS = DESCRIPTIONS.keys() - {"sampler"}
"""Fields by which a note names what a file does not give in a way that is understood. A sampler that is not understood
is another program's."""
TEXT_FIELDS = ("prompt", "negative_prompt")


@dataclass(frozen=True)
class RestoredImage:
    """What the page takes from an image file."""

    values: Mapping[str, object]
    """Values by field name."""
    notes: str
    """Notes on them, as HTML."""
    own: bool = False
    """Whether this program generated the image."""
    varied: ParsedSettings | None = None
    """The settings, if the file carries the image's composition, to vary it."""


def restore_from_image(file: str | BinaryIO, limits: Limits) -> RestoredImage:
    """The settings in an image file. Never raises for what the file contains.

    A text that `limits` reject is restored all the same, for the user to shorten: otherwise the one before would stay.
    """
    try:
        settings = read_image_settings(file)
    except MetadataError as error:
        return RestoredImage({}, restore_notes("", (error.message,)) + _file_text(error.text))
    values, rejected = settings.fit(limits)
    for name in TEXT_FIELDS:
        if name not in values and isinstance(text := settings.values.get(name), str):
            values[name] = _storable(text[:MAX_TEXT_CHARS])
    notes = (*rejected, *_list_unread_settings(settings), *_list_unknown_settings(settings))
    own = settings.program.startswith(OWN_PROGRAM_PREFIX)
    varied = settings if settings.image_embeddings else None
    return RestoredImage(values, restore_notes(_describe_source(settings), notes), own, varied)


def restore_from_link(query: Mapping[str, str], limits: Limits) -> tuple[dict[str, object], str]:
    """Values of a link's query by field name, and notes on them as HTML; none for a link without settings.

    A link leaves out what is as by default, so the other fields have their defaults.
    """
    values, rejected = decode_link(query, limits)
    notes = restore_notes("Settings from the link." if values else "", rejected)
    defaults = {name: description.default for name, description in limits.descriptions.items()}
    return ({**defaults, **values} if values else {}), notes


def restore_from_draft(text: object, limits: Limits, checkpoint: str) -> dict[str, object]:
    """Values of a draft (JSON) by field name, `morph_first` and `new_seed`; none for a malformed draft.

    Texts come back as typed, even if a request would not admit them. Everything else is for one checkpoint only.
    """
    try:
        draft = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(draft, dict):
        return {}
    texts = {name: draft[name] for name in TEXT_FIELDS if isinstance(draft.get(name), str)}
    if draft.get("checkpoint") != checkpoint:
        return dict(texts)
    others = {
        name: value
        for name, value in draft.items()
        if name not in TEXT_FIELDS and (value is not None or name == "seed")
    }
    values, _ = ParsedSettings(others).fit(limits)
    new_seed = {"new_seed": draft["new_seed"]} if isinstance(draft.get("new_seed"), bool) else {}
    first = to_json(from_json(draft.get("morph_first")))
    return {**values, **texts, **new_seed, **({"morph_first": first} if first else {})}


def _describe_source(settings: ParsedSettings) -> Message:
    program = shorten_name(settings.program)
    if not program:
        program = message("another program")
    elif _VERSION.match(program):
        program = message("another program ({name})", name=program)
    if not settings.checkpoint:
        return message("Settings from a picture by {program}.", program=program)
    return message(
        "Settings from a picture by {program}, generated with {checkpoint}.",
        program=program,
        checkpoint=shorten_name(settings.checkpoint),
    )


def _list_unread_settings(settings: ParsedSettings) -> tuple[str, ...]:
    """A note on settings that exist here but could not be taken from the file."""
    unread = {name for name in (*settings.unread, *map(_field_name, settings.unsupported)) if name in _OWN_FIELDS}
    labels = [DESCRIPTIONS[name].label for name in DESCRIPTIONS if name in unread - {"images"}]
    if not labels:
        return ()
    names = ", ".join(translate(label) for label in labels)
    return (message("Could not be read from the picture: {names}.", names=names),)


def _list_unknown_settings(settings: ParsedSettings) -> tuple[str, ...]:
    unknown = [name for name in settings.unsupported if _field_name(name) not in _OWN_FIELDS]
    if not unknown:
        return ()
    names = ", ".join(shorten_name(name) for name in unknown[:MAX_LISTED_SETTINGS])
    more = len(unknown) - MAX_LISTED_SETTINGS
    if more > 0:
        names = message("{names} and {count} more", names=names, count=more)
    return (message("Ignored unknown settings: {names}.", names=names),)


def _field_name(name: str) -> str:
    return name[:MAX_NAME_CHARS].strip().lower().replace(" ", "_")


def _file_text(text: str) -> str:
    """Text of a file that is not understood, to read and copy, as HTML; "" for none."""
    if not text:
        return ""
    summary = escape(translate("Text in the picture"))
    shown = escape(_storable(text[:MAX_TEXT_CHARS]))
    return f'<details class="file-text" open><summary>{summary}</summary><pre translate="no">{shown}</pre></details>'


def _storable(text: str) -> str:
    """Text with half surrogate pairs replaced, which cannot be sent, and without control characters."""
    text = text.encode(errors="replace").decode()
    return "".join(each for each in text if each.isprintable() or each in "\n\t " or ord(each) > 0x9F)
