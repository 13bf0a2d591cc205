"""Images as HTML: details of a finished one, and tiles with preview and progress of unfinished ones.

Text from a user or a checkpoint leaves here escaped.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from html import escape

from wuerst_demo.errors import WuerstError
from wuerst_demo.events import Progress
from wuerst_demo.messages import message
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.generate.prompt_readout import describe_prompt
from wuerst_demo.web.i18n.translate import translate
from wuerst_demo.web.shared.generation import FinishedImage, GenerationView
from wuerst_demo.web.shared.html import definition_list, notes_list, request_rows
from wuerst_demo.web.shared.progress import STAGE_LABELS

TIMING_LABELS: Mapping[str, str] = {"text": "Text", **{str(stage): name for stage, name in STAGE_LABELS.items()}}
IMAGE_SIGNATURES = {b"\xff\xd8": "jpeg", b"\x89P": "png", b"RI": "webp"}
"""First two bytes of an encoded image -> its format."""


def render_image_details(image: FinishedImage, position: int, context: WebContext) -> str:
    """Settings, weighted prompt and timing of the image at `position` (from 0) of the gallery."""
    request = image.request
    rows = [
        *request_rows(request, context.limits, without=("images",)),
        (translate("Weighted prompt"), _render_weighted_prompt(request.prompt, request.weighting, context)),
        (translate("Time"), _format_timing(image.seconds)),
        (translate("Checkpoint"), escape(context.checkpoint.title)),
        (translate("Revision"), escape(context.revision)),
    ]
    title = translate(message("Picture {number}: settings", number=position + 1))
    return f"<h2>{title}</h2>{definition_list(rows)}{notes_list(image.notes)}"


def _render_weighted_prompt(prompt: str, weighting: bool, context: WebContext) -> str:
    """The prompt with its weights marked; "" if all words weigh the same."""
    try:
        highlights = describe_prompt(context.parse_prompt(prompt, weighting))
    except WuerstError:  # it was parsed once, when the image was generated
        return ""
    if not highlights.weighted:
        return ""
    words = "".join(
        escape(text) if label is None else f"<mark>{escape(text.rstrip())} <b>{escape(label)}</b></mark> "
        for text, label in highlights.spans
    )
    return f'<span translate="no">{words}</span>'


def _format_timing(seconds: Mapping[str, float]) -> str:
    parts = [f"{translate(label)} {seconds[stage]:.2f} s" for stage, label in TIMING_LABELS.items() if stage in seconds]
    if "total" in seconds:
        parts.append(translate(message("{seconds:.2f} s in total", seconds=seconds["total"])))
    return ", ".join(parts)


def render_tiles(view: GenerationView) -> str:
    """One tile for each unfinished image; "" once the request is over."""
    request, progress = view.request, view.progress
    if request is None or progress is None or view.over:
        return ""
    finished = {image.index for image in view.images}
    shape = f"--ratio:{request.width}/{request.height};--width:{request.width}px"
    return "".join(
        f'<figure class="tile" style="{shape}">'
        f'<div class="canvas">{render_preview(view.previews.get(each.index))}</div>'
        f"<figcaption>{_tile_caption(view, each)}</figcaption></figure>"
        for each in progress.latest
        if each.index not in finished
    )


def _tile_caption(view: GenerationView, progress: Progress) -> str:
    if view.state == "waiting":
        return translate("Waiting")
    label = STAGE_LABELS[progress.stage]
    if progress.stage == "vqgan":
        return label
    return translate(message("{stage} {step} of {of}", stage=label, step=progress.step, of=progress.total_steps))


def render_preview(encoded: bytes | None) -> str:
    """The preview as an inline image; "" for none or an unknown format."""
    kind = IMAGE_SIGNATURES.get((encoded or b"")[:2])
    if encoded is None or kind is None:
        return ""
    # Decoded synchronously, so that one preview replaces the next without a blank between them.
    return f'<img alt="" decoding="sync" src="data:image/{kind};base64,{b64encode(encoded).decode()}">'
