"""MCP answers: pictures as image content, requests as JSON."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

from tests.fakes.server import run_async
from wuerst_demo.web.mcp_content import convert_mcp_answers, mcp_content


def test_each_picture_is_followed_by_its_request_and_the_progress_is_last(tmp_path):
    outputs, requests = [], [{"prompt": "Mühle", "seed": 1}, {"prompt": "a cat", "seed": 2}]
    for number in range(2):
        path = tmp_path / f"{number}.png"
        path.write_bytes(b"picture %d" % number)
        outputs.append({"path": str(path), "url": "http://host/x"})
    answer = [outputs, requests, "Done"]
    parts = mcp_content(answer, "http://host")
    assert parts == mcp_content([answer])  # as Gradio has it when the client wants no progress
    assert [part.type for part in parts] == ["image", "text", "image", "text", "text"]
    assert [base64.b64decode(part.data) for part in parts[0:4:2]] == [b"picture 0", b"picture 1"]
    assert [json.loads(part.text) for part in parts[1:4:2]] == requests
    assert parts[-1].text == "Done"
    assert str(tmp_path) not in "".join(part.text for part in parts if part.type == "text")


def test_a_server_without_mcp_starts():
    async def start(tool):
        async with convert_mcp_answers(SimpleNamespace(get_blocks=lambda: SimpleNamespace(mcp_server_obj=tool))):
            return tool and tool.postprocess_output_data

    assert run_async(start(None)) is None
    assert run_async(start(SimpleNamespace(_prepare_tool_call_args=None))) is mcp_content
