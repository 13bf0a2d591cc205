"""Limits on requests to the server, without a page behind them."""

from __future__ import annotations

import gradio as gr
import pytest
from gradio import processing_utils
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.fakes.server import run_async
from wuerst_demo.web.middleware.request_limits import RequestLimitMiddleware, disable_url_downloads
from wuerst_demo.web.middleware.uploads import MAX_UPLOAD_BYTES


@pytest.fixture(scope="module")
def client():
    async def count_body(request):
        return PlainTextResponse(str(len(await request.body())))

    routes = [Route("/{path:path}", count_body, methods=["GET", "POST"])]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(RequestLimitMiddleware)]))


@pytest.mark.parametrize(
    ("bytes_sent", "status"), [(1, 200), (MAX_UPLOAD_BYTES, 200), (MAX_UPLOAD_BYTES + 128 * 2**10, 413)]
)
def test_an_upload_is_accepted_up_to_the_largest_file(client, bytes_sent, status):
    answer = client.post("/gradio_api/upload", files={"files": ("a.png", b"x" * bytes_sent)})
    assert answer.status_code == status
    assert status == 413 or int(answer.text) > bytes_sent


@pytest.mark.parametrize(("bytes_sent", "status"), [(256 * 2**10, 200), (256 * 2**10 + 1, 413)])
@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/run/upload", "/login"])
def test_any_other_body_is_accepted_up_to_256_kib(client, path, bytes_sent, status):
    assert client.post(path, content=b"x" * bytes_sent).status_code == status


def test_a_body_that_comes_in_pieces_counts_as_a_whole(client):
    pieces = (b"x" * 2**10 for _ in range(257))
    assert client.post("/gradio_api/queue/join", content=pieces).status_code == 413


@pytest.mark.parametrize(("path", "limit"), [("upload", "64 MiB"), ("queue/join", "256 KiB")])
def test_what_is_too_large_gets_a_sentence_with_the_limit(client, path, limit):
    pieces = (b"x" * 2**20 for _ in range(66))
    answer = client.post(f"/gradio_api/{path}", content=pieces)
    assert answer.text.startswith("The ")
    assert f" is larger than {limit}, " in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/gradio_api/runs", 404),
        ("/gradio_api/deep_link/", 404),
        ("/gradio_api/FILE=https://example.org/a.png", 404),
        ("/gradio_api/file%0A=a.png", 404),
        ("/gradio_api/running", 200),
        ("/gradio_api/file=/tmp/a.png", 404),
    ],
)
def test_routes_that_the_page_does_not_use_are_closed(client, path, status):
    for method in ("GET", "POST"):
        assert client.request(method, path).status_code == status


def test_a_url_in_place_of_a_file_is_rejected_with_a_message(monkeypatch):
    monkeypatch.setattr(processing_utils, "async_ssrf_protected_download", None)
    disable_url_downloads()
    with pytest.raises(gr.Error, match="not as an address"):
        run_async(processing_utils.async_ssrf_protected_download("http://example.org/a.png", "/tmp"))
