"""Login and logout with `--auth`: guesses are slowed down by client address, and a logout ends one session."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wuerst_demo.messages import message
from wuerst_demo.web.i18n.translate import translate_for
from wuerst_demo.web.middleware.client_address import network_address
from wuerst_demo.web.shared.static_files import read_static

log = logging.getLogger(__name__)

FREE_GUESSES = 3
"""Failed logins of an address before it has to wait: 1 s, then twice as long each time."""
MAX_DELAY_S = 60.0
MAX_ADDRESSES = 4096
"""Addresses whose failed logins are remembered; the oldest are forgotten."""


@dataclass(frozen=True)
class _Guesses:
    count: int
    next_at: float


class LoginMiddleware:
    """ASGI middleware: 429 for a login that comes too soon after failed ones; logout by POST only."""

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock
        self._guesses: OrderedDict[str, _Guesses] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope.get("path", "").rstrip("/").rpartition("/")[2] if scope["type"] == "http" else ""
        if name == "logout":
            await _logout(scope)(scope, receive, send)
        elif name == "login" and scope["method"] == "POST":
            await self._login(scope, receive, send)
        else:
            await self._app(scope, receive, _with_delay_script(send))

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        address, now = network_address((scope.get("client") or ("", 0))[0]), self._clock()
        guesses = self._guesses.get(address, _Guesses(0, now))
        if guesses.next_at > now:
            wait_s = ceil(guesses.next_at - now)
            delay = message("Too many failed logins; try again in {seconds} s.", seconds=wait_s)
            text = translate_for(Headers(scope=scope), delay)
            await PlainTextResponse(text, 429, {"Retry-After": str(wait_s)})(scope, receive, send)
            return
        # Counted before the password is checked, so that guesses at the same time count, too.
        count = guesses.count + 1
        delay_s = 0.0 if count < FREE_GUESSES else min(MAX_DELAY_S, 2.0 ** min(count - FREE_GUESSES, 10))
        self._guesses[address] = _Guesses(count, now + delay_s)
        self._guesses.move_to_end(address)
        if len(self._guesses) > MAX_ADDRESSES:
            self._guesses.popitem(last=False)

        async def send_and_note(sent: Message) -> None:
            if sent["type"] == "http.response.start":
                if sent["status"] < 400:
                    self._guesses.pop(address, None)
                else:
                    log.warning("A login from %s failed.", address)
            await send(sent)

        await self._app(scope, receive, send_and_note)


def _with_delay_script(send: Send) -> Send:
    """`send` that puts a script into every page: the login page has no place where Gradio lets one in."""
    start: Message | None = None
    html = b""

    async def send_page(sent: Message) -> None:
        nonlocal start, html
        if sent["type"] == "http.response.start" and Headers(raw=sent["headers"]).get("content-type", "").startswith(
            "text/html"
        ):
            start = sent
        elif start is None:
            await send(sent)
        else:
            html += sent.get("body", b"")
            if not sent.get("more_body"):
                html = html.replace(b"</head>", f"<script>{read_static('login_delay.js')}</script></head>".encode(), 1)
                MutableHeaders(scope=start)["content-length"] = str(len(html))
                await send(start)
                await send({**sent, "body": html})

    return send_page


def is_logged_in(scope: Scope) -> bool:
    """Whether a request comes from a client with a session, or the page has no password."""
    app = scope["app"]
    return app.auth is None or any(each in app.tokens for each in Request(scope).cookies.values())


def _logout(scope: Scope) -> Response:
    """End the session of the request's cookies, and no other."""
    if scope["method"] != "POST":
        return PlainTextResponse("Log out with POST.", 405, {"Allow": "POST"})
    request, response, app = Request(scope), Response(status_code=204), scope["app"]
    for name in (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}"):
        app.tokens.pop(request.cookies.get(name), None)
        response.delete_cookie(name)
    return response
