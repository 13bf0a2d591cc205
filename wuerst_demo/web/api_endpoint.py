"""Web API: one named endpoint, `generate`, with named and documented parameters.

Its signature, schema and help come from the descriptions in the checkpoint's limits, as the page's controls do. Values
arrive as they were sent; `Limits.request` validates them.
"""

from __future__ import annotations

import inspect
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any, Literal

import gradio as gr
from gradio.components.api_component import Api
from gradio.events import api
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.fields import Choice, Description, Number, Switch, Text, allowed_values
from wuerst_demo.request import Limits
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.middleware.client_address import client_address
from wuerst_demo.web.shared.generation import GenerationView, generate_views

EndpointOutput = tuple[list[dict[str, Any]], list[dict[str, Any]], str]

ENDPOINT_SUMMARY = (
    "Generate pictures from text. Answers stream: each has the pictures finished so far, as PNG files that carry their"
    " request; for each of them the request that generates it alone; and the progress. The last answer is complete."
)

OUTPUT_DESCRIPTIONS = {
    "Pictures": "The finished pictures: PNG files that carry their request.",
    "Requests": "For each picture the request that generates it alone, with its seed.",
    "Progress": "Stage and step, or how the request ended.",
}

VARIATION_DESCRIPTION = (
    "An earlier picture to go on from, or null: {image_embeddings: the PNG text wuerst_demo_image_embeddings of its"
    " file, level: 0 (keeps the composition) to 1 (forgets it), details_seed: its seed, or null for new details, mask:"
    " cells to redraw while the others stay, or null}."
)
MORPH_DESCRIPTION = (
    "The way between two earlier pictures, or null: {first, last: each {request: the picture's own request with its"
    " seed, image_embeddings: as of a variation}, frames: 3 to 16, the two included}. All other parameters are ignored;"
    " the last picture of the answer is an animated WebP."
)
SOURCES = {"variation": VARIATION_DESCRIPTION, "morph": MORPH_DESCRIPTION}

_UNKNOWN_PARAMETER = re.compile("Parameter `(.*)` is not a valid key-word argument", re.DOTALL)
"""Gradio's TypeError for a parameter that the endpoint does not have."""


def add_generate_endpoint(page: gr.Blocks, context: WebContext, concurrency_id: str) -> None:
    """Add the endpoint to the page. To be called in the page's context."""
    added = api(create_endpoint(context), api_name="generate", concurrency_id=concurrency_id)
    registered = page.fns[added["id"]]
    # Gradio names parameters by number; clients and tools show labels and descriptions where there are any.
    inputs = [(each.label, _json_schema(each)) for each in context.limits.descriptions.values()]
    inputs += [
        (name.capitalize(), {"type": "object", "additional_description": text}) for name, text in SOURCES.items()
    ]
    outputs = [(label, {"description": text}) for label, text in OUTPUT_DESCRIPTIONS.items()]
    for component, (label, schema) in zip([*registered.inputs, *registered.outputs], inputs + outputs, strict=True):
        assert isinstance(component, Api)
        component.label = label
        component._api_info = {**component._api_info, **schema}


def handle_unknown_parameter(request: Request, error: Exception) -> Response:
    """The response to a call with an unknown parameter, for which Gradio raises a TypeError: 422 and the message of
    `Limits.request`. Any other error is raised again."""
    name = _UNKNOWN_PARAMETER.match(str(error))
    if name is None:
        raise error
    try:
        Limits().request({name[1]: None})
    except InvalidRequest as invalid:
        return JSONResponse({"detail": str(invalid)}, 422)
    raise error


def create_endpoint(context: WebContext) -> Callable[..., Iterator[EndpointOutput]]:
    """The endpoint's function, with signature and docstring from the checkpoint's limits."""
    names = [*context.limits.descriptions, *SOURCES]

    def generate(request: gr.Request, *arguments: object) -> Iterator[EndpointOutput]:
        values = dict(zip(names, arguments, strict=True))
        # Gradio uses one session for all MCP clients; the engine gets a client for each call.
        mcp = request.headers.get("x-gradio-user") == "mcp"
        session = secrets.token_urlsafe(16) if mcp else request.session_hash or ""
        for view in generate_views(context, values, session, address=client_address(request)):
            if view.state in ("rejected", "failed"):
                raise gr.Error(str(view.message), print_exception=False)
            yield _endpoint_output(view)

    client = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request)
    parameters = [client, *(_signature_parameter(name, each) for name, each in context.limits.descriptions.items())]
    parameters += [_parameter(name, dict[str, Any] | None, None) for name in SOURCES]
    generate.__signature__ = inspect.Signature(parameters, return_annotation=EndpointOutput)  # type: ignore[attr-defined]
    generate.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": EndpointOutput}
    generate.__doc__ = _docstring(context.limits)
    return generate


def _endpoint_output(view: GenerationView) -> EndpointOutput:
    files = [(image.path, image.request) for image in view.images]
    if view.animation and view.request:
        files.append((view.animation, view.request))
    data = [{"path": str(path), "meta": {"_type": "gradio.FileData"}} for path, _ in files]
    return data, [request.to_dict() for _, request in files], str(view.message)


def _signature_parameter(name: str, description: Description) -> inspect.Parameter:
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
    return _parameter(name, kind, default)


def _parameter(name: str, kind: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=kind)


def _docstring(limits: Limits) -> str:
    lines = [ENDPOINT_SUMMARY, "", "Args:"]
    lines += [f"    {name}: {_help_text(each)}" for name, each in limits.descriptions.items()]
    lines += [f"    {name}: {text}" for name, text in SOURCES.items()]
    return "\n".join(lines)


def _help_text(description: Description) -> str:
    return f"{description.help} {allowed_values(description).capitalize()}."


def _json_schema(description: Description) -> dict[str, Any]:
    """The JSON schema beyond the type."""
    schema: dict[str, Any] = {"additional_description": _help_text(description)}
    match description:
        case Number(default=None):
            return schema
        case Number():
            return schema | {"minimum": description.least, "maximum": description.most}
        case Text():
            return schema | {"maxLength": description.max_chars}
        case _:
            return schema
