"""Behaviour of Gradio's server that no option changes, replaced for the rest of the process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio import http_server, mcp, processing_utils, queueing, route_utils, routes, utils
from gradio.block_function import BlockFunction
from gradio.blocks import Blocks
from starlette.types import ASGIApp, Receive, Scope, Send

from wuerst_demo.web.middleware.call_check import error_payload
from wuerst_demo.web.middleware.connections import bounded_config
from wuerst_demo.web.middleware.safe_log import log_error
from wuerst_demo.web.middleware.uploads import receive_upload, record_served_files

_original_move = processing_utils.async_move_files_to_cache
_original_diff: Callable[[Any, Any], Any] = utils.diff
_original_stream: Callable[..., list[Any]] = Blocks.handle_streaming_diffs
_is_update: Callable[[Any], bool] = utils.is_prop_update


def patch_gradio() -> None:
    """Replace what is unsafe on a public server.

    - CORS is left to `OriginCheckMiddleware`: Gradio's middleware lies outside of ours and lets every origin read with
      cookies, for every host but three.
    - Tracebacks and prints quote what clients sent; they become one line.
    - Uploads are bounded, and what is served is what handlers returned.
    - uvicorn's connections are bounded in number and time.
    - A value that follows an update, or the other way round, is streamed whole. Gradio sends what differs, and its page
      applies that to the old value in place: a part that is not on the screen yet would show the update as its value.
    - The end of an event of the page repeats nothing. Gradio sends the last answer once more, and what somebody typed
      since would be overwritten.
    """
    one_line = SimpleNamespace(print_exc=lambda *_, **__: log_error("A call failed", _current_error()))
    replacements: list[tuple[Any, str, Any]] = [
        (routes, "CustomCORSMiddleware", _NoMiddleware),
        (routes, "upload_fn", receive_upload),
        (processing_utils, "async_move_files_to_cache", record_served_files(_original_move)),
        (utils, "error_payload", error_payload),
        (utils, "diff", _diff),
        (Blocks, "handle_streaming_diffs", _stream_answers),
        (queueing, "error_payload", error_payload),
        (http_server, "uvicorn", SimpleNamespace(Config=bounded_config)),
    ]
    replacements += [(module, "traceback", one_line) for module in (routes, route_utils, queueing)]
    replacements += [(module, "print", _print_nothing) for module in (routes, queueing, mcp)]
    for module, name, value in replacements:
        setattr(module, name, value)


def _current_error() -> BaseException:
    return sys.exc_info()[1] or RuntimeError()


def _diff(old: Any, new: Any) -> Any:
    """What differs in the output of a handler, as Gradio's page applies it: operation, path and value."""
    if _is_update(old) != _is_update(new):
        return [["replace", [], new]]
    return _original_diff(old, new)


def _stream_answers(blocks: Blocks, function: BlockFunction, data: list[Any], final: bool, **options: Any) -> list[Any]:
    """What Gradio sends of an answer; of the end, only API clients need that."""
    streamed = _original_stream(blocks, function, data, final=final, **options)
    return [gr.skip()] * len(streamed) if final and function.api_visibility == "private" else streamed


def _print_nothing(*_: object, **__: object) -> None:
    """In place of a print that quotes a client; what follows it is answered or logged anyway."""


class _NoMiddleware:
    def __init__(self, app: ASGIApp, **_: object) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
