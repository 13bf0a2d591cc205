"""The README's examples for other programs, run as they stand there, against a page that draws at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import pytest

from tests.e2e import web
from tests.e2e.opening import ROOT, opened
from tests.ui.fakes import studio
from wuerst_demo.metadata import from_png
from wuerst_demo.settings import Settings

pytestmark = pytest.mark.slow
SECTION = (ROOT / "README.md").read_text(encoding="utf-8").partition("## For other programs")[2].partition("\n## ")[0]
PROMPT = "a fox in the snow at night"


def example(language, address):
    (code,) = re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
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


def test_python_gets_a_picture_that_carries_the_request_it_prints(quick):
    said = StringIO()
    with contextlib.redirect_stdout(said):
        exec(example("python", quick), {})
    path = next(line for line in said.getvalue().splitlines() if ".png" in line).partition(".png")[0] + ".png"
    found = from_png(Path(path)).values
    assert (found["prompt"], found["seed"]) == (PROMPT, 7)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_gets_the_address_of_a_picture(quick, tmp_path):
    ended = subprocess.run(["bash", "-c", example("sh", quick)], capture_output=True, text=True, timeout=60)
    event, data = ended.stdout.strip().rsplit("event: ", 1)[1].split("\ndata: ", 1)
    assert event == "complete"
    (picture,), (request,), _ = json.loads(data)
    (tmp_path / "picture.png").write_bytes(web.get(picture["url"]).content)
    assert from_png(tmp_path / "picture.png").values == request
    assert request["prompt"] == PROMPT


def test_an_assistant_gets_a_tool_that_draws(quick):
    url = json.loads(example("json", quick))["mcpServers"]["wuerstchen"]["url"]
    answer = call(url, {"prompt": PROMPT, "seed": 7})
    assert not answer.isError
    assert "seed7.png" in answer.content[0].text


def test_an_assistant_hears_what_was_wrong(quick):
    answer = call(f"{quick}gradio_api/mcp/", {"prompt": PROMPT, "width": 300})
    assert answer.isError
    assert "the nearest are 256 and 384" in answer.content[0].text


def test_two_who_come_over_mcp_are_two_people_to_the_engine(address, painter):
    for _ in range(2):
        call(f"{address}gradio_api/mcp/", {"prompt": PROMPT, "seed": 7})
    one, other = painter.askers
    assert one
    assert other
    assert one != other


def test_nothing_but_generate_is_public(quick):
    told = web.get(f"{quick}gradio_api/info").json()
    assert list(told["named_endpoints"]) == ["/generate"]
    assert told["unnamed_endpoints"] == {}
    paths = web.get(f"{quick}gradio_api/openapi.json").json()["paths"]
    assert {path for path in paths if "/call/" in path} == {
        "/gradio_api/call/v2/generate",
        "/gradio_api/call/generate/{event_id}",
    }


def test_a_page_with_a_password_shows_its_tools_to_nobody():
    with opened(studio(), Settings(auth="me:secret")) as address:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        accepted = {"accept": "application/json, text/event-stream"}
        answer = web.post(f"{address}gradio_api/mcp/", json=asked, headers=accepted)
        assert answer.status_code in (401, 404, 405)
