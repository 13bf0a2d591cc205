"""The sheet of example pictures that the Draw tab shows before the first own picture, as HTML."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from wuerst_demo.request import Request
from wuerst_demo.web.context import ReadPicture

EXAMPLES_HINT = "Choose an example to draw it again."


def render_example_sheet(requests: Sequence[Request], read: ReadPicture, hint: str) -> str:
    """One button for each example, with its picture where there is one; "" without examples. `hint` is HTML."""
    if not requests:
        return ""
    items = "".join(_render_example(number, request, read(request)) for number, request in enumerate(requests))
    return f"<p>{hint}</p><ul>{items}</ul>"


def _render_example(number: int, request: Request, picture: bytes | None) -> str:
    image = ""
    if picture:
        size = f'width="{request.width}" height="{request.height}"'
        image = f'<img alt="" {size} src="data:image/webp;base64,{b64encode(picture).decode()}">'
    kind = "sample" if picture else "sample words"
    prompt = f'<span translate="no">{escape(request.prompt)}</span>'
    return f'<li><button type="button" class="{kind}" data-example="{number}">{image}{prompt}</button></li>'
