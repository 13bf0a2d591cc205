"""What is known of one finished picture, as HTML: its settings, the prompt as it was read, where its time went.

Does not know Gradio. Everything that came from a visitor or from a checkpoint leaves here escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from wuerst_demo.errors import WuerstError
from wuerst_demo.ui import show
from wuerst_demo.ui.drawing import Picture
from wuerst_demo.ui.progress import NAMES
from wuerst_demo.ui.readout import readout
from wuerst_demo.ui.studio import Studio

STAGES: Mapping[str, str] = {"text": "Text", **{str(stage): name for stage, name in NAMES.items()}}


def details(picture: Picture, place: int, studio: Studio) -> str:
    """Everything about a picture, the one at `place` (from 0) of those that are shown."""
    request = picture.request
    rows = [*show.settings(request, studio.limits, without=("images",))]
    rows += [("As read", _read(request.prompt, request.weighting, studio))]
    rows += [("Time", _time(picture.seconds)), ("Checkpoint", escape(studio.checkpoint))]
    rows += [("Revision", escape(studio.revision))]
    return f"<h2>Picture {place + 1}, as drawn</h2>{show.terms(rows)}{show.notes(picture.notes)}"


def _read(prompt: str, weighting: bool, studio: Studio) -> str:
    """The weighted words of a prompt, marked; nothing where all weigh the same."""
    try:
        seen = readout(studio.read(prompt, weighting))
    except WuerstError:  # it was drawn, so it could be read; a reader that changed its mind is no reason for an error
        return ""
    if not seen.weighted:
        return ""
    words = "".join(
        escape(text) if label is None else f"<mark>{escape(text.rstrip())} <b>{escape(label)}</b></mark> "
        for text, label in seen.spans
    )
    return f'<span translate="no">{words}</span>'


def _time(seconds: Mapping[str, float]) -> str:
    parts = [f"{name} {seconds[stage]:.2f} s" for stage, name in STAGES.items() if stage in seconds]
    whole = [f"{seconds['total']:.2f} s in all"] if "total" in seconds else []
    return ", ".join([*parts, *whole])
