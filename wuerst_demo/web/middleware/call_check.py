"""Checks of calls before Gradio reads them, and one line in place of a traceback for what is wrong with them.

Gradio answers most calls that it does not expect with 500 and a traceback that quotes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import gradio as gr
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wuerst_demo.web.middleware.login import is_logged_in
from wuerst_demo.web.middleware.safe_log import log_error

_CALL_PATH = re.compile(r"/gradio_api/(?P<route>run|api|call/v2|call|queue|mcp|[a-z_-]+)(/(?P<name>.*))?$")
_MAX_DEPTH = 32
_FIELDS = ("data", "fn_index", "session_hash", "event_data", "trigger_id")
"""Fields of a call that the page and Gradio's clients send; others change what Gradio expects, and are left out."""
_FIELD_TYPES = (
    ("session_hash", (str,), "a text that is not empty"),
    ("trigger_id", (int,), "a number"),
)
FAILED_CALL_DETAIL = "This call could not be processed; compare its values with /gradio_api/info."


class CallCheckMiddleware:
    """ASGI middleware: 404 for unknown endpoints, 422 for bodies that are no call of them, each with a sentence."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_checked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                direct = _CALL_PATH.search(scope["path"].rstrip("/"))
                if message["status"] == 500 and direct and direct["route"] in ("run", "api"):
                    message = {**message, "status": 422}  # Gradio's for whatever a value causes
            await send(message)

        try:
            # Gradio takes ranges apart without care; a server may ignore them.
            scope = {**scope, "headers": [each for each in scope.get("headers", ()) if each[0] != b"range"]}
            if scope["type"] == "http" and scope["method"] == "POST" and not scope["path"].endswith("/upload"):
                path = _CALL_PATH.search(scope["path"].rstrip("/"))
                receive = await _checked_body(scope, receive, path) if path else receive
            await self._app(scope, receive, send_checked)
        except HTTPException as error:
            await JSONResponse({"detail": error.detail}, error.status_code)(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - logged, without what it quotes
            log_error("A request failed", error)
            if not started and scope["type"] == "http":
                await JSONResponse({"detail": FAILED_CALL_DETAIL}, 500)(scope, receive, send)


async def _checked_body(scope: Scope, receive: Receive, path: re.Match[str]) -> Receive:
    """The body, as a source of one message. Raises HTTPException."""
    pieces, more = [], True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return receive
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(pieces)
    if body or path["route"] in ("run", "api", "call", "call/v2"):
        calls = path["route"] in ("run", "api", "call", "call/v2", "queue")
        try:
            value = json.loads(body.decode(), parse_int=_parse_int, parse_constant=float if calls else _reject)
            json.dumps(value, ensure_ascii=False).encode()  # no half of a surrogate pair
        except (ValueError, RecursionError) as error:
            raise HTTPException(422, "The body is not valid JSON in UTF-8.") from error
        if _depth(value) > _MAX_DEPTH:
            raise HTTPException(422, f"The body is nested more than {_MAX_DEPTH} levels deep.")
        if path["route"] != "mcp":
            if not isinstance(value, dict):
                raise HTTPException(422, "The body is not a JSON object.")
            if is_logged_in(scope):  # else 401
                value = _checked_call(scope["app"].get_blocks().fns, path["route"], path["name"], value)
        body = json.dumps(value).encode()  # without numbers of so many digits that Python refuses to read them
        length = (b"content-length", str(len(body)).encode())
        scope["headers"] = [each for each in scope["headers"] if each[0] != b"content-length"] + [length]
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_body() -> Message:
        return messages.pop() if messages else await receive()

    return receive_body


def _checked_call(functions: Mapping[int, Any], route: str, name: str | None, call: dict[str, Any]) -> dict[str, Any]:
    """The fields of a call that Gradio is to see. Raises HTTPException."""
    if route == "call/v2":
        _named(functions.values(), name)
        return call
    if route not in ("run", "api", "call") and (route, name) != ("queue", "join"):
        return call
    by_name = route == "call" or (route != "queue" and call.get("fn_index") is None)
    number = call.get("fn_index")
    if not by_name and (type(number) is not int or number not in functions):
        raise HTTPException(404, "There is no function of this number; /config lists them.")
    function = _named(functions.values(), name) if by_name else functions[int(number or 0)]
    if route in ("run", "api") and function.queue:
        raise HTTPException(404, "This function is called through the queue.")
    data = call.get("data")
    needed = sum(not each.skip_api for each in function.inputs) if by_name else len(function.inputs)
    if not function.cancels and not (isinstance(data, list) and len(data) >= needed):
        raise HTTPException(422, f"This call needs {needed} values, as a list in the field data.")
    for field, kinds, text in _FIELD_TYPES:
        value = call.get(field)
        if not isinstance(value, (*kinds, type(None))) or value == "":
            raise HTTPException(422, f"The field {field} holds {text} or null.")
    if not isinstance(call.get("event_data"), dict):
        call = {**call, "event_data": None}  # the page sends a text with some events; only objects are read
    return {name: call[name] for name in _FIELDS if name in call}


def _named(functions: Iterable[Any], name: str | None) -> Any:
    for function in functions:
        if function.api_name == name and function.api_visibility != "private":
            return function
    raise HTTPException(404, "There is no endpoint of this name; /gradio_api/info lists them.")


def _parse_int(text: str) -> int | float:
    return int(text) if len(text) < 19 else float(text)  # what fits 64 bits in any case


def _reject(name: str) -> None:
    raise ValueError(name)


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level and depth <= _MAX_DEPTH:
        depth += 1
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


def error_payload(error: BaseException | None, show_error: bool) -> dict[str, Any]:
    """What Gradio's queue sends to a client whose call failed."""
    if isinstance(error, gr.Error):
        return {"error": error.message, "duration": error.duration, "visible": error.visible, "title": error.title}
    return {"error": FAILED_CALL_DETAIL}
