"""Settings that come back to the drawing tab: out of a link, out of a PNG file that is dropped on the page, out of what
had been set before the page was loaded anew.

What they say is a stranger's word. What the checkpoint admits is filled in, the rest is named, in sentences.

Does not know where the components stand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import gradio as gr
from gradio.components import Component

from wuerst_demo.errors import MetadataError
from wuerst_demo.found import Found
from wuerst_demo.metadata import from_png
from wuerst_demo.request import Limits
from wuerst_demo.ui import links, show
from wuerst_demo.ui.desk import Desk
from wuerst_demo.ui.look import ASSETS
from wuerst_demo.ui.studio import Studio

Updates = dict[Component, Any]

OURS = "wuerst_demo "
"""How this program's name for itself begins."""
NAMED = 12
"""Names of what was not understood, at most, each of them cut to `NAME` characters."""
NAME = 40
TYPED = ("prompt", "negative_prompt")
"""The fields that a browser keeps what is typed in."""


def wire(page: gr.Blocks, studio: Studio, desk: Desk) -> None:
    """What happens to a file that is dropped. To be called inside the page's context."""
    page.load(None, js=(ASSETS / "drop.js").read_text(encoding="utf-8"))
    # Gradio's own preprocessing stays on: it refuses paths of files that this visitor has not uploaded.
    desk.drop.upload(
        dropping(studio, desk),
        [desk.drop],
        [desk.drop, desk.came, *desk.controls.made.values(), desk.new_seed],
        api_visibility="private",
        show_progress="hidden",
    )


def dropping(studio: Studio, desk: Desk) -> Callable[[str | None], Updates]:
    """The handler of a dropped file. It is deleted as soon as it has been read, unless the page may be showing it:
    Gradio keeps a file by its bytes and its name, so a picture of the page's own lies where it lay before."""

    def drop(path: str | None) -> Updates:
        if path is None:
            return {desk.came: ""}
        try:
            values, told = restored(path, studio.limits)
        finally:
            if not _drawn_here(path):
                Path(path).unlink(missing_ok=True)
        return {desk.drop: None, desk.came: told, **desk.fill(values)}

    return drop


def _drawn_here(path: str) -> bool:
    """Whether this program drew the picture in a file."""
    try:
        return from_png(path).program.startswith(OURS)
    except MetadataError:
        return False


def restored(file: str | BinaryIO, limits: Limits) -> tuple[dict[str, object], str]:
    """The values in a PNG file, by field name, and what to say of them. Never raises for what the file holds."""
    try:
        found = from_png(file)
    except MetadataError as error:
        return {}, show.came("", (str(error),))
    values, refused = found.fit(limits)
    return values, show.came(_source(found), (*refused, *_unread(found)))


def linked(query: Mapping[str, str], limits: Limits) -> tuple[dict[str, object], str]:
    """The values in a link, by field name, and what to say of them: nothing for a link that says nothing."""
    values, refused = links.read(query, limits)
    return values, show.came("Settings from the link." if values else "", refused)


def drafted(text: object, studio: Studio) -> dict[str, object]:
    """What had been set in a tab, by field name and `new_seed`, out of what its browser kept; nothing where that is
    nonsense. What was typed is as it was typed, whether a request would admit it or not; numbers are for the checkpoint
    that they were set for."""
    try:
        kept = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(kept, dict):
        return {}
    typed = {name: kept[name] for name in TYPED if isinstance(kept.get(name), str)}
    if kept.get("checkpoint") != studio.checkpoint:
        return dict(typed)
    set_to = {
        name: value for name, value in kept.items() if name not in TYPED and (value is not None or name == "seed")
    }
    values, _ = Found(set_to).fit(studio.limits)
    fresh = {"new_seed": kept["new_seed"]} if isinstance(kept.get("new_seed"), bool) else {}
    return {**values, **typed, **fresh}


def _source(found: Found) -> str:
    known = found.program.startswith((OURS, "ComfyUI"))
    named = f" ({_short(found.program)})" if found.program else ""
    by = _short(found.program) if known else f"another program{named}"
    return f"Settings from a picture by {by}" + (
        f", drawn with {_short(found.checkpoint)}." if found.checkpoint else "."
    )


def _unread(found: Found) -> tuple[str, ...]:
    if not found.unread:
        return ()
    names = [_short(name) for name in found.unread[:NAMED]]
    more = f" and {len(found.unread) - NAMED} more" if len(found.unread) > NAMED else ""
    return (f"Left out, since there is no such setting here: {', '.join(names)}{more}.",)


def _short(text: str) -> str:
    text = " ".join(text.encode(errors="replace").decode().split())  # half a character cannot be sent
    return text if len(text) <= NAME else text[: NAME - 1] + "…"
