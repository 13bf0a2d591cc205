"""Limits on requests to Gradio's server: closed routes, and sizes of uploads and other bodies.

Gradio's server offers more than this page uses: it fetches files from other servers, records, and keeps what it is sent
for as long as it runs. A public page offers none of that.
"""

from __future__ import annotations

import re

import gradio as gr
from gradio import processing_utils
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wuerst_demo.web.middleware.uploads import MAX_UPLOAD_BYTES, UPLOAD_PATH, UPLOAD_TOO_LARGE, is_served

_FORM_OVERHEAD_BYTES = 64 * 2**10
"""What a multipart form adds to its file."""
_MAX_BODY_BYTES = 256 * 2**10
"""Largest body of any other request: several times the page's largest, the image slider's over 36 cells."""
_BODY_TOO_LARGE = f"The request is larger than {_MAX_BODY_BYTES // 2**10} KiB, more than anything that the page sends."
MAX_GRADIO_SESSIONS = 1000
"""Clients whose component values Gradio keeps; the oldest are dropped."""
_CLOSED_PATHS = re.compile(
    # a route's name ends with the path or a slash; no address of the page has control characters
    r"/gradio_api/((process_recording|component_server|deep_link|dev|runs|run-history)(/|$)|(file|proxy)[=/]\s*https?:)"
    r"|[\x00-\x1f]",
    re.IGNORECASE,
)
_FILE_PATH = re.compile(r"/gradio_api/file[=/](.*)$", re.DOTALL | re.IGNORECASE)


class RequestLimitMiddleware:
    """ASGI middleware: 404 for unused routes and files that are not shown, 413 for too large bodies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").rstrip("/")
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _CLOSED_PATHS.search(path) or ((file := _FILE_PATH.search(path)) and not is_served(file[1])):
            await PlainTextResponse("Not found", 404)(scope, receive, send)
        else:
            limited = _limited_receive(receive, _MAX_BODY_BYTES, _BODY_TOO_LARGE)
            if path.endswith(UPLOAD_PATH):
                limited = _limited_receive(receive, MAX_UPLOAD_BYTES + _FORM_OVERHEAD_BYTES, UPLOAD_TOO_LARGE)
            await self._app(scope, limited, send)


def _limited_receive(receive: Receive, max_bytes: int, too_large: str) -> Receive:
    received_bytes = 0

    async def limited() -> Message:
        nonlocal received_bytes
        message = await receive()
        received_bytes += len(message.get("body", b""))
        if received_bytes > max_bytes:
            raise HTTPException(413, too_large)
        return message

    return limited


def disable_url_downloads() -> None:
    """Make Gradio reject URLs in place of uploaded files, for the rest of the process.

    It would download them before any handler runs, without a limit on size or time.
    """

    async def reject(url: str, cache_dir: str) -> str:
        raise gr.Error("A file is sent to this page itself, not as an address.", print_exception=False)

    processing_utils.async_ssrf_protected_download = reject
