"""Editor of a picture's composition as HTML: its maps, what can be done to them, and what the decoder makes of them.

A script (latent_editor.js) edits the maps in the browser and has them decoded by the live route, as the `variation` of
a request whose prior is skipped. The texts of the script are in the HTML.
"""

from __future__ import annotations

import json
from html import escape

from wuerst_demo.events import Result
from wuerst_demo.messages import message
from wuerst_demo.variation import decode_image_embeddings, recompose
from wuerst_demo.web.explain.colormap import list_colors
from wuerst_demo.web.explain.latent_images import map_limit
from wuerst_demo.web.i18n.translate import translate

COLOR_COUNT = 33
EDITS = {"blur": "Blur", "zero": "Set to 0", "double": "× 2", "halve": "× ½", "negate": "× −1"}
"""Name of an edit of one map in the script -> label."""


def render_latent_editor(result: Result) -> str:
    """The editor, folded; "" for a result without image embeddings."""
    if not result.image_embeddings:
        return ""
    maps = decode_image_embeddings(result.image_embeddings)
    values = recompose(result.request.to_dict(), result.image_embeddings)
    data = {"values": values, "colors": list_colors(COLOR_COUNT), "limit": round(map_limit(maps.astype(float)), 3)}
    depth, height, width = maps.shape
    intro = message(
        "This is z, the prior's result: {depth} maps of {width} × {height} numbers, and nothing else of the picture"
        " reaches the decoder but your words. Choose a map, change it, and see what the decoder makes of it, with few"
        " steps.",
        depth=depth,
        width=width,
        height=height,
    )
    return (
        f'<details class="latent-editor" data-editor="{escape(json.dumps(data))}">'
        f"<summary>{translate('Play with z')}</summary><p>{translate(intro)}</p>"
        f'<div class="editing">{_render_maps(depth, width, height)}{_render_tools(depth, width, height)}'
        f"{_render_pictures()}</div></details>"
    )


def _render_maps(depth: int, width: int, height: int) -> str:
    name = translate(message("Map {map}, from {low} to {high}", map="{map}", low="{low}", high="{high}"))
    items = "".join(
        f'<label><input type="radio" name="latent-map" class="visually-hidden" value="{k}"{" checked" * (k == 0)}>'
        f'<canvas width="{width}" height="{height}" aria-hidden="true"></canvas><span>{k + 1}</span></label>'
        for k in range(depth)
    )
    legend = translate("The maps of z, from dark blue (below zero) over grey (0) to yellow (above)")
    return f'<fieldset class="maps" data-name="{name}"><legend>{legend}</legend>{items}</fieldset>'


def _render_tools(depth: int, width: int, height: int) -> str:
    cell = translate(message("Row {row}, column {column}: {value}", row="{row}", column="{column}", value="{value}"))
    edits = "".join(_render_button(name, label) for name, label in EDITS.items())
    others = "".join(f'<option value="{k}">{k + 1}</option>' for k in range(depth))
    return (
        f'<div class="tools"><div class="painting"><canvas width="{width}" height="{height}" tabindex="0"'
        f' role="application" aria-label="{translate("The chosen map: arrow keys move, the space bar paints")}"'
        f' aria-describedby="latent-cell"></canvas>'
        f'<output id="latent-cell" aria-live="polite" data-cell="{cell}"></output></div>'
        f"<label><span>{translate('Paint with')}</span>"
        f'<input type="range" class="brush" min="-10" max="10" value="10"><i></i></label>'
        f'<div class="edits">{edits}</div>'
        f'<div class="edits"><label><span>{translate("Other map")}</span>'
        f'<select class="other">{others}</select></label>{_render_button("swap", "Swap them")}</div>'
        f'<div class="edits">{_render_button("undo", "Undo")}{_render_button("restore", "As it was")}'
        f"{_render_button('keep', 'Draw it in full')}</div></div>"
    )


def _render_button(edit: str, label: str) -> str:
    return f'<button type="button" data-edit="{edit}">{translate(label)}</button>'


def _render_pictures() -> str:
    lost = translate("No answer from the server; the next attempt is in 2 s.")
    figures = "".join(
        f'<figure class="{name}"><img alt="{translate(alt)}" decoding="sync"><figcaption>{translate(caption)}'
        "<span></span></figcaption></figure>"
        for name, alt, caption in (
            ("original", "What the decoder makes of the maps as they were", "As it was"),
            ("changed", "What the decoder makes of the changed maps", "Changed"),
        )
    )
    return f'<div class="decoded">{figures}<p class="note" role="status" data-lost="{lost}"></p></div>'
