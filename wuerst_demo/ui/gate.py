"""What strangers may ask of Gradio's server: what the page needs, in sizes that the page needs.

The server can do more than that: fetch files from other servers, take recordings, keep what is sent to it for as long
as it runs. A page that many use offers none of it.

Does not know the page.
"""

from __future__ import annotations

import re

import gradio as gr
from gradio import processing_utils
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_FILE = 16 * 2**20
"""Bytes of a file that may be dropped on the page. The largest picture, 2048 x 2048, has 12.6 million, not packed."""
_AROUND = 64 * 2**10
"""Bytes that a form has around its file."""
_LARGEST_BODY = 256 * 2**10
"""Bytes of any other request, several times what the largest of the page's has: that tells the slider of 36 cells."""
SESSIONS = 1000
"""Visitors whose last values Gradio keeps; those of earlier ones go."""
_CLOSED = re.compile(
    # a name of a route ends with the path or a stroke; control characters stand in no address of the page's
    r"/gradio_api/((process_recording|component_server|deep_link|dev|runs|run-history)(/|$)|(file|proxy)[=/]\s*https?:)"
    r"|[\x00-\x1f]",
    re.IGNORECASE,
)
_UPLOAD = "/gradio_api/upload"


class Gate:
    """ASGI middleware: 404 where the page has nothing to do, and 413 for what is larger than anything it sends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").rstrip("/")
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _CLOSED.search(path):
            await PlainTextResponse("Not found", 404)(scope, receive, send)
        else:
            most = LARGEST_FILE + _AROUND if path.endswith(_UPLOAD) else _LARGEST_BODY
            await self._app(scope, _counted(receive, most), send)


def _counted(receive: Receive, most: int) -> Receive:
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            raise HTTPException(413, "This is larger than anything that the page sends.")
        return message

    return counted


def refuse_downloads() -> None:
    """From here on, Gradio fetches no file from an address that somebody sends in place of one: without a bound in
    size or time, it would do so before any handler is asked, and hold an event's place for as long as it takes."""

    async def refused(url: str, cache_dir: str) -> str:
        raise gr.Error("A file is sent to this page itself, not as an address.", print_exception=False)

    processing_utils.async_ssrf_protected_download = refused
