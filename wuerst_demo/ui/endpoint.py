"""The one endpoint for programs, `generate`: the page's handler with named, documented parameters.

Its signature is made from the descriptions of a checkpoint's limits, so that the API's schema, its defaults and its
help say what the page says. Values arrive as they were sent and are checked here, whatever way they came.

Does not know the page's layout.
"""

from __future__ import annotations

import inspect
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, Literal

import gradio as gr
from gradio.components.api_component import Api
from gradio.events import api
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.request import Choice, Description, Limits, Number, Switch, Text, admits
from wuerst_demo.ui.drawing import View, draw
from wuerst_demo.ui.studio import Studio

Answer = tuple[list[dict[str, Any]], list[dict[str, Any]], str]

SUMMARY = (
    "Draw pictures from words. Answers stream: each has the pictures finished so far, as PNG files that carry their"
    " request; for each of them the request that draws it alone; and how far the drawing is. The last one is complete."
)


ANSWERED = {
    "Pictures": "The finished pictures: PNG files that carry their request.",
    "Requests": "For each picture the request that draws it alone, seed and all.",
    "Progress": "How far the drawing is, or how it ended.",
}


_MISNAMED = re.compile("Parameter `(.*)` is not a valid key-word argument", re.DOTALL)
"""What Gradio says of it."""


def expose(page: gr.Blocks, studio: Studio, concurrency_id: str) -> None:
    """Give the page its endpoint. To be called inside the page's context."""
    added = api(endpoint(studio), api_name="generate", concurrency_id=concurrency_id)
    registered = page.fns[added["id"]]
    # The parameters come with numbers for names; clients and tools show labels and descriptions where there are any.
    asked = [(each.label, _schema(each)) for each in studio.limits.descriptions.values()]
    answered = [(label, {"description": said}) for label, said in ANSWERED.items()]
    for component, (label, schema) in zip([*registered.inputs, *registered.outputs], asked + answered, strict=True):
        assert isinstance(component, Api)
        component.label = label
        component._api_info = {**component._api_info, **schema}


def misnamed(request: Request, error: Exception) -> Response:
    """The answer to a call with a name that is no setting's, of which Gradio makes a TypeError: 422 and the sentence
    that `Limits.request` has for it. Any other error is raised again."""
    name = _MISNAMED.match(str(error))
    if name is None:
        raise error
    try:
        Limits().request({name[1]: None})
    except InvalidRequest as said:
        return JSONResponse({"detail": str(said)}, 422)
    raise error


def endpoint(studio: Studio) -> Callable[..., Iterator[Answer]]:
    """The function behind the endpoint, with a signature and a docstring made from the studio's limits."""
    names = list(studio.limits.descriptions)

    def generate(request: gr.Request, *given: object) -> Iterator[Answer]:
        values = dict(zip(names, given, strict=True))
        # Gradio asks for everybody who comes over MCP in one session of its own; to the engine each call is a person.
        mcp = request.headers.get("x-gradio-user") == "mcp"
        for view in draw(studio, values, secrets.token_urlsafe(16) if mcp else request.session_hash or ""):
            if view.state in ("refused", "failed"):
                raise gr.Error(view.message, print_exception=False)
            yield _answer(view)

    asker = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request)
    parameters = [asker, *(_parameter(name, each) for name, each in studio.limits.descriptions.items())]
    generate.__signature__ = inspect.Signature(parameters, return_annotation=Answer)  # type: ignore[attr-defined]
    generate.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": Answer}
    generate.__doc__ = _documented(studio.limits)
    return generate


def _answer(view: View) -> Answer:
    files = [{"path": str(picture.path), "meta": {"_type": "gradio.FileData"}} for picture in view.pictures]
    return files, [asdict(picture.request) for picture in view.pictures], view.message


def _parameter(name: str, description: Description) -> inspect.Parameter:
    kind: Any
    match description:
        case Text():
            kind = str
        case Switch():
            kind = bool
        case Choice():
            kind = Literal[description.choices]
        case Number(default=None):
            kind = int | None
        case Number():
            kind = int if description.whole else float
    default = description.default
    if isinstance(description, Number) and description.whole and default is not None:
        default = int(default)
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=kind)


def _documented(limits: Limits) -> str:
    lines = [SUMMARY, "", "Args:"]
    lines += [f"    {name}: {_help(each)}" for name, each in limits.descriptions.items()]
    return "\n".join(lines)


def _help(description: Description) -> str:
    return f"{description.help} {admits(description).capitalize()}."


def _schema(description: Description) -> dict[str, Any]:
    """What a JSON schema says beyond the type."""
    said: dict[str, Any] = {"additional_description": _help(description)}
    match description:
        case Number(default=None):
            return said
        case Number():
            return said | {"minimum": description.least, "maximum": description.most}
        case Text():
            return said | {"maxLength": description.longest}
        case _:
            return said
