"""Live pictures: the route `POST /live` draws one with few steps, and answers with the picture itself.

It is a route of its own, outside of Gradio's queue: one round trip in place of two, and no files. What it is sent is
checked as everywhere: host, origin and size by the middleware, the login and the values here.

A browser tab has one live picture in the engine at most: a new one takes the place of the one before, and a connection
that is closed takes its picture with it.
"""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import anyio
import gradio as gr
from gradio.context import LocalContext
from PIL.Image import Image
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wuerst_demo.engine.request_queue import fair_share
from wuerst_demo.errors import Cancelled, InvalidRequest, QueueFull, WuerstError
from wuerst_demo.events import Result
from wuerst_demo.messages import Message, message
from wuerst_demo.web.context import AnyTicket, WebContext
from wuerst_demo.web.i18n.translate import translate
from wuerst_demo.web.live.pictures import LivePictures
from wuerst_demo.web.middleware.client_address import client_address
from wuerst_demo.web.middleware.login import is_logged_in
from wuerst_demo.web.shared.sessions import ClientTab
from wuerst_demo.web.shared.view import error_message

MAX_OPEN_REQUESTS = 32
"""Live pictures that are drawn or wait at the same time; each holds a thread. Clients of one address have a share."""
JPEG_QUALITY = 92
BUSY_MESSAGE = "Too many live pictures are drawn at the moment; this goes on in a few seconds."
NOT_LOGGED_IN_MESSAGE = "Log in first: reload the page."
MALFORMED_MESSAGE = "A live picture is requested with a JSON object: owner, tab, values and finish."
SUPERSEDED_MESSAGE = "A newer text has taken the place of this one."


class LiveService:
    """Draws live pictures for all clients."""

    def __init__(self, context: WebContext) -> None:
        self.pictures = LivePictures()
        self._context = context
        self._open: dict[ClientTab, tuple[AnyTicket, str]] = {}  # with the address of the client
        self._threads = anyio.CapacityLimiter(MAX_OPEN_REQUESTS)

    def routes(self) -> list[Route]:
        return [Route("/live", self.respond, methods=["POST"])]

    async def respond(self, request: Request) -> Response:
        """The answer to one request: a picture, or why there is none.

        The body is an object: `owner` and `tab` (see `ClientTab`), `values` (of a request, by field name), and
        `finish`, whether to draw with these settings as they are, or with the few steps of a live picture. The answer:
        `picture` (JPEG, as a data URI), `id` (to keep it) and `text` (about it); or `detail` and the status
        422 (rejected), 503 (busy, try again), 409 (a newer request has come), 500, 401.
        """
        LocalContext.request.set(gr.Request(request))  # in whose language texts are
        try:
            if not is_logged_in(request.scope):
                return _problem(401, NOT_LOGGED_IN_MESSAGE)
            client, values, finish = _read_call(await request.body())
            with self._context.pause_idle_work():
                opened = self._submit(client, values, finish, client_address(request))
                try:
                    outcome = await self._read_result(request, opened[0])
                finally:
                    if self._open.get(client) is opened:
                        del self._open[client]
            return self._answer(client, outcome, finish)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except WuerstError as error:
            return _rejection(error)

    def _submit(
        self, client: ClientTab, values: Mapping[str, object], finish: bool, address: str
    ) -> tuple[AnyTicket, str]:
        """The ticket of a live picture, in place of the tab's previous one, and the address. Raises UserError."""
        live = {} if finish else self._context.checkpoint.live
        request = self._context.limits.request({**values, **live, "images": 1, "morph": None})
        if previous := self._open.pop(client, None):
            previous[0].cancel()
        addresses = [each for _, each in self._open.values()]
        own = addresses.count(address) if address else 0
        if len(addresses) >= MAX_OPEN_REQUESTS or (own and own >= fair_share(MAX_OPEN_REQUESTS, {*addresses})):
            raise QueueFull(BUSY_MESSAGE)
        ticket = self._context.engine.submit(request, client.owner, live=True, address=address)
        self._open[client] = opened = (ticket, address)
        return opened

    async def _read_result(self, request: Request, ticket: AnyTicket) -> tuple[Result, bytes] | Exception:
        """The picture, also as JPEG, or why there is none. The request is cancelled as soon as its client has gone."""
        async with anyio.create_task_group() as group:
            group.start_soon(_cancel_when_gone, request, ticket)
            outcome = await anyio.to_thread.run_sync(_wait_for_result, ticket, limiter=self._threads)
            group.cancel_scope.cancel()
        return outcome

    def _answer(self, client: ClientTab, outcome: tuple[Result, bytes] | Exception, finish: bool) -> Response:
        if isinstance(outcome, Exception):
            return _rejection(outcome)
        result, encoded = outcome
        template = "Full quality, {seconds:.2f} s" if finish else "Live, {seconds:.2f} s"
        answer = {
            "picture": f"data:image/jpeg;base64,{b64encode(encoded).decode()}",
            "id": self.pictures.add(client, result),
            "text": translate(message(template, seconds=result.seconds.get("total", 0.0))),
        }
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def _read_call(body: bytes) -> tuple[ClientTab, Mapping[str, object], bool]:
    """Client, values and `finish` of a request's body. Raises InvalidRequest."""
    try:
        call: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(MALFORMED_MESSAGE) from error
    values, finish = (call.get("values"), call.get("finish", False)) if isinstance(call, dict) else (None, False)
    if not isinstance(values, dict) or not isinstance(finish, bool):
        raise InvalidRequest(MALFORMED_MESSAGE)
    return ClientTab.from_browser(call.get("owner"), call.get("tab")), values, finish


async def _cancel_when_gone(request: Request, ticket: AnyTicket) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    ticket.cancel()


def _wait_for_result(ticket: AnyTicket) -> tuple[Result, bytes] | Exception:
    """The ticket's only picture, also as JPEG, or the error that it ended with."""
    try:
        with closing(ticket):
            for event in ticket:
                if isinstance(event, Result):
                    return event, _encode_jpeg(event.image)
        return Cancelled(SUPERSEDED_MESSAGE)
    except Exception as error:  # noqa: BLE001 - answered by `_rejection`, which logs what is unexpected
        return error


def _rejection(error: Exception) -> Response:
    match error:
        case Cancelled():
            return _problem(409, SUPERSEDED_MESSAGE)
        case QueueFull():
            return _problem(503, error.message)
        case WuerstError():
            return _problem(422, error.message)
        case _:
            return _problem(500, error_message(error))


def _problem(status: int, text: str | Message) -> Response:
    return JSONResponse({"detail": translate(text)}, status, headers={"Cache-Control": "no-store"})


def _encode_jpeg(image: Image) -> bytes:
    """Encoded much faster than PNG; with colors at full resolution hardly to be told from it."""
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return encoded.getvalue()
