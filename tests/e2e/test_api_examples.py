"""The examples of docs/web-api.md, run as they are, against a page that generates at once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO, StringIO
from pathlib import Path

import pytest

from tests.e2e.browser import ROOT
from tests.fakes import server
from tests.fakes.server import serve_page
from tests.fakes.web import fake_context
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.settings import Settings

pytestmark = pytest.mark.slow
PAGE = (ROOT / "docs/web-api.md").read_text(encoding="utf-8")
PROMPT = "a fox in the snow at night"


def example(language, address):
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert "http://127.0.0.1:7860/" in code or 'http://127.0.0.1:7860"' in code
    return code.replace("http://127.0.0.1:7860", address.rstrip("/"))


def call(url, arguments):
    """The answer of the one tool at an MCP address."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def called():
        async with streamable_http_client(url) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            (tool,) = (await session.list_tools()).tools
            assert tool.name == "generate"
            assert "prompt" in tool.inputSchema["properties"]
            return await session.call_tool(tool.name, arguments)

    # in a thread of its own: this one may have a browser's loop
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(asyncio.run, called()).result(60)


def test_the_python_example_gets_an_image_with_its_request(instant_page):
    said = StringIO()
    with contextlib.redirect_stdout(said):
        exec(example("python", instant_page), {})
    path = next(line for line in said.getvalue().splitlines() if ".png" in line).partition(".png")[0] + ".png"
    found = read_image_settings(Path(path)).values
    assert (found["prompt"], found["seed"]) == (PROMPT, 7)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_curl_example_gets_the_url_of_an_image(instant_page, tmp_path):
    ended = subprocess.run(["bash", "-c", example("sh", instant_page)], capture_output=True, text=True, timeout=60)
    event, data = ended.stdout.strip().rsplit("event: ", 1)[1].split("\ndata: ", 1)
    assert event == "complete"
    (picture,), (request,), _ = json.loads(data)
    (tmp_path / "picture.png").write_bytes(server.get(picture["url"]).content)
    assert read_image_settings(tmp_path / "picture.png").values == request
    assert request["prompt"] == PROMPT


def test_an_mcp_client_gets_the_pictures_and_their_requests_themselves(instant_page):
    url = json.loads(example("json", instant_page))["mcpServers"]["wuerstchen"]["url"]
    answer = call(url, {"prompt": PROMPT, "seed": 7, "images": 2})
    assert not answer.isError
    assert [part.type for part in answer.content] == ["image", "text", "image", "text", "text"]
    for seed, picture, text in zip((7, 8), answer.content[0:4:2], answer.content[1:4:2], strict=True):
        assert picture.mimeType == "image/png"
        request = json.loads(text.text)
        assert read_image_settings(BytesIO(base64.b64decode(picture.data))).values == request
        assert (request["prompt"], request["seed"]) == (PROMPT, seed)
    assert "path" not in "".join(part.text for part in answer.content if part.type == "text")


def test_an_mcp_client_gets_the_error_message(instant_page):
    answer = call(f"{instant_page}gradio_api/mcp/", {"prompt": PROMPT, "width": 300})
    assert answer.isError
    assert "the nearest are 256 and 384" in answer.content[0].text


def test_two_mcp_calls_are_two_sessions_of_the_engine(address, pipeline):
    for _ in range(2):
        call(f"{address}gradio_api/mcp/", {"prompt": PROMPT, "seed": 7})
    one, other = pipeline.sessions
    assert one
    assert other
    assert one != other


def test_only_generate_is_public(instant_page):
    told = server.get(f"{instant_page}gradio_api/info").json()
    assert list(told["named_endpoints"]) == ["/generate"]
    assert told["unnamed_endpoints"] == {}
    paths = server.get(f"{instant_page}gradio_api/openapi.json").json()["paths"]
    assert {path for path in paths if "/call/" in path} == {
        "/gradio_api/call/v2/generate",
        "/gradio_api/call/generate/{event_id}",
    }


def test_a_page_with_a_password_shows_no_tools():
    with serve_page(fake_context(), Settings(auth="me:secret")) as address:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        accepted = {"accept": "application/json, text/event-stream"}
        answer = server.post(f"{address}gradio_api/mcp/", json=asked, headers=accepted)
        assert answer.status_code in (401, 404, 405)
