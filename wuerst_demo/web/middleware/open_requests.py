"""Bound on the requests of one client address that are open at the same time: event streams, slow downloads, all else.

An event stream ends when its client leaves, and a response when its client has read it: neither has a time limit.
"""

from __future__ import annotations

from collections import Counter

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from wuerst_demo.web.i18n.translate import translate_for
from wuerst_demo.web.middleware.client_address import client_address
from wuerst_demo.web.middleware.connections import max_connections
from wuerst_demo.web.middleware.health import HEALTH_PATHS

MAX_OPEN_REQUESTS_PER_ADDRESS = 256
"""A page holds two streams: an office of a hundred pages behind one address is served."""
TOO_MANY_OPEN_DETAIL = "Too many requests of your network are open; close some pages and try again."


class OpenRequestsMiddleware:
    """ASGI middleware: 429 for a request of an address that has too many open already.

    All clients of unknown address together may have half of the connections, so that the rest is left to others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH_PATHS:
            await self._app(scope, receive, send)
            return
        address = client_address(Request(scope))
        if self._open[address] >= (MAX_OPEN_REQUESTS_PER_ADDRESS if address else max_connections() // 2):
            text = translate_for(Headers(scope=scope), TOO_MANY_OPEN_DETAIL)
            await PlainTextResponse(text, 429, {"Retry-After": "10"})(scope, receive, send)
            return
        self._open[address] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]
