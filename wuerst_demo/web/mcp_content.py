"""Calls over MCP: each picture as image content, its request as JSON, so that no client needs the server's disk.

Gradio converts single images only, and writes them anew, without their metadata.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wuerst_demo.web.middleware.client_address import MCP_CLIENT_HEADER, mcp_client

if TYPE_CHECKING:
    from gradio.mcp import GradioMCPServer
    from gradio.routes import App
    from mcp.types import ImageContent, TextContent


@asynccontextmanager
async def convert_mcp_answers(app: App) -> AsyncIterator[None]:
    """Lifespan of the server, during which its MCP tool answers with `mcp_content`, and its calls count for the client
    that made them: Gradio makes them again, from this machine."""
    if (server := app.get_blocks().mcp_server_obj) is not None:
        server.postprocess_output_data = mcp_content  # type: ignore[method-assign]
        server._prepare_tool_call_args = _with_client(server)  # type: ignore[method-assign]
    yield


def _with_client(server: GradioMCPServer) -> Callable[..., tuple[Any, ...]]:
    prepare = server._prepare_tool_call_args

    def prepare_with_client(*call: Any) -> tuple[Any, ...]:
        endpoint, values, headers, function = prepare(*call)
        request = server.mcp_server.request_context.request
        assert request is not None  # Gradio has checked it
        return endpoint, values, {**headers, MCP_CLIENT_HEADER: mcp_client(request)}, function

    return prepare_with_client


def mcp_content(data: Sequence[Any], root_url: str = "") -> list[ImageContent | TextContent]:
    """The content of an answer of the endpoint: for each picture the unchanged file and its request; the progress.

    `data` are the endpoint's outputs with files of the server's own folder; `root_url` is not used.
    """
    from mcp.types import ImageContent, TextContent

    content: list[ImageContent | TextContent] = []
    # Without a progress token Gradio puts all outputs into one.
    pictures, requests, progress = data[0] if len(data) == 1 else data
    for picture, request in zip(pictures, requests, strict=True):
        path = Path(picture["path"])
        encoded = base64.b64encode(path.read_bytes()).decode("ascii")
        content.append(ImageContent(type="image", data=encoded, mimeType=f"image/{path.suffix[1:]}"))
        content.append(TextContent(type="text", text=json.dumps(request, ensure_ascii=False)))
    return [*content, TextContent(type="text", text=str(progress))]
