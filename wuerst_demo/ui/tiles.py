"""The pictures of a drawing that are not finished yet: a tile for each, with its preview and how far it is, as HTML.

Does not know Gradio. A preview is a small encoded picture; it goes into the page as it is, and into no file.
"""

from __future__ import annotations

from base64 import b64encode

from wuerst_demo.events import Progress
from wuerst_demo.ui.drawing import View
from wuerst_demo.ui.progress import NAMES

KINDS = {b"\xff\xd8": "jpeg", b"\x89P": "png", b"RI": "webp"}
"""How an encoded picture begins -> what it is."""


def tiles(view: View) -> str:
    """One tile for each picture that is still to come; nothing where the drawing is over. `view` has a request."""
    request, tally = view.request, view.tally
    if request is None or tally is None or view.over:
        return ""
    finished = {picture.image for picture in view.pictures}
    shape = f"--ratio:{request.width}/{request.height};--width:{request.width}px"
    return "".join(
        f'<figure class="tile" style="{shape}"><div class="canvas">{_preview(view.previews.get(each.image))}</div>'
        f"<figcaption>{_caption(view, each)}</figcaption></figure>"
        for each in tally.standing
        if each.image not in finished
    )


def _caption(view: View, standing: Progress) -> str:
    if view.state == "waiting":
        return "Waiting"
    return NAMES["vqgan"] if standing.stage == "vqgan" else f"{NAMES[standing.stage]} {standing.step} of {standing.of}"


def _preview(encoded: bytes | None) -> str:
    kind = KINDS.get((encoded or b"")[:2])
    if encoded is None or kind is None:
        return ""
    # Decoded at once, so that one preview gives way to the next without a blank between them.
    return f'<img alt="" decoding="sync" src="data:image/{kind};base64,{b64encode(encoded).decode()}">'
