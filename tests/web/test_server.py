"""Launch options of the page, and what its server answers over the network."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest
import safehttpx
from gradio_client import Client

from tests.fakes import server
from tests.fakes.server import serve_page
from tests.fakes.web import FakePipeline, fake_context
from tests.web.test_api_endpoint import call_raw
from wuerst_demo.settings import Settings
from wuerst_demo.web.middleware.uploads import MAX_UPLOAD_BYTES
from wuerst_demo.web.page import MAX_OPEN_GENERATIONS, MAX_QUEUED_EVENTS
from wuerst_demo.web.server import launch_options

COUNTING_SERVER = """
import gc, sys
from tests.fakes.web import fake_context
from wuerst_demo.settings import Settings
from wuerst_demo.web.middleware.health import HealthRoutes
from wuerst_demo.web.server import serve

def count_objects():
    return {"alive": True, "excluded": gc.get_freeze_count(), "collected": len(gc.get_objects())}

serve(fake_context(), Settings(), "127.0.0.1", int(sys.argv[1]), HealthRoutes(count_objects, lambda: b""))
"""


def test_collections_leave_out_what_a_server_has_loaded():
    port = server.free_port()
    command = [sys.executable, "-c", COUNTING_SERVER, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert any("The page is at" in line for line in process.stdout)
            counts = server.get(f"http://127.0.0.1:{port}/healthz").json()
        finally:
            process.terminate()
            process.communicate()
    assert counts["collected"] < counts["excluded"] / 10


def test_a_page_serves_no_files_and_shows_no_internal_errors():
    options = launch_options(Settings(), "127.0.0.1", 7860)
    assert options["allowed_paths"] == []
    assert options["auth"] is None
    for closed in ("share", "show_error", "run_history", "enable_monitoring", "ssr_mode"):
        assert options[closed] is False


def test_a_password_may_contain_a_colon():
    options = launch_options(Settings(auth="me:a:b", share=True), "127.0.0.1", 7860)
    assert options["auth"] == ("me", "a:b")
    assert options["share"] is True


def test_the_queue_cannot_be_bypassed(instant_page):
    for path in ("run/generate", "api/generate"):
        assert server.post(f"{instant_page}gradio_api/{path}", json={"data": []}).status_code == 404
    events = server.get(f"{instant_page}config").json()["dependencies"]
    queued = [event["id"] for event in events if event["backend_fn"] and event["queue"] is not False]
    assert len(queued) > 4  # what draws, reads or compares; a click that only moves values about has no queue
    for number in queued:
        answer = server.post(f"{instant_page}gradio_api/run/predict", json={"data": [], "fn_index": number})
        assert answer.status_code == 404, number


@pytest.mark.parametrize(
    "path",
    [
        "monitoring",
        "monitoring/summary",
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=app.py",
        "gradio_api/file=/proc/self/environ",
        "gradio_api/proxy=http://127.0.0.1:1/",
    ],
)
def test_private_routes_are_closed(instant_page, path):
    assert server.get(instant_page + path, follow_redirects=True).status_code in (400, 401, 403, 404)


@pytest.mark.parametrize("marked", [{}, {"meta": {"_type": "gradio.FileData"}}], ids=["plain", "marked as a file"])
@pytest.mark.parametrize("path", [str(Path(__file__).resolve()), "README.md", "a\0b", ""])
def test_the_slider_serves_no_other_files(instant_page, path, marked):
    config = server.get(f"{instant_page}config").json()
    number = {each["props"].get("elem_id"): each["id"] for each in config["components"]}
    slides = [event for event in config["dependencies"] if number["slider"] in event["outputs"]]
    assert len(slides) > 3
    file = {"path": path, **marked}
    gallery = [{"image": file, "caption": None}] * 2
    table = {"rows": [{"label": "", "cells": [{"label": "a", "file": file}] * 2}]}
    sent = {number["left"]: "cell 0", number["right"]: "drawn 1", number["board"]: table}
    for event in slides:
        data = [sent.get(each, gallery) for each in event["inputs"]]
        answer = server.post(f"{instant_page}gradio_api/run/predict", json={"data": data, "fn_index": event["id"]})
        assert "url" not in answer.text
        assert answer.status_code == 200 or marked  # Gradio looks after what is marked itself


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file=http://example.org/a.png",
        "gradio_api/file=HTTPS://example.org/a.png",
        "gradio_api/file=%68ttp://example.org/a.png",
        "gradio_api/process_recording",
        "gradio_api/process_recording/",
        "gradio_api/component_server",
        "gradio_api/deep_link?session_hash=a",
        "gradio_api/runs",
        "gradio_api/file/https://example.org/a.png",
        "gradio_api/file=https://example.org/a.png%0A",
        "gradio_api/component_server%0A",
    ],
)
def test_unused_features_of_gradio_are_off(instant_page, path):
    for method in ("GET", "POST"):
        assert httpx.request(method, instant_page + path).status_code == 404


def test_no_file_is_fetched_from_a_url(instant_page, monkeypatch):
    asked = []
    monkeypatch.setattr(safehttpx, "get", lambda url, **options: asked.append(url))
    config = server.get(f"{instant_page}config").json()
    file = {"path": "http://example.org/a.png", "meta": {"_type": "gradio.FileData"}}
    for event in config["dependencies"]:
        if event["backend_fn"] and event["queue"] is False:
            data = [file for _ in event["inputs"]]
            server.post(f"{instant_page}gradio_api/run/predict", json={"data": data, "fn_index": event["id"]})
    assert call_raw(instant_page, prompt=file)[0] == "error"
    assert asked == []


def test_a_large_request_is_rejected_before_it_is_read(instant_page):
    large = json.dumps({"prompt": "x" * 300_000})
    for path in ("call/v2/generate", "queue/join", "run/predict", "run/upload"):
        headers = {"content-type": "application/json"}
        answer = server.post(f"{instant_page}gradio_api/{path}", content=large, headers=headers)
        assert answer.status_code == 413, path


@pytest.mark.parametrize(("bytes_sent", "status"), [(MAX_UPLOAD_BYTES, 200), (MAX_UPLOAD_BYTES + 1, 413)])
def test_an_upload_of_64_mib_is_accepted_and_one_byte_more_is_not(instant_page, bytes_sent, status):
    answer = server.post(f"{instant_page}gradio_api/upload", files={"files": ("a.png", b"x" * bytes_sent)})
    assert answer.status_code == status
    said = "The file is larger than 64 MiB, the most that is accepted; choose another."
    assert status == 200 or answer.json()["detail"] == said


def test_a_page_with_a_password_rejects_clients_without_it():
    with serve_page(fake_context(), Settings(auth="me:secret")) as address:
        for path in ("config", "gradio_api/info"):
            assert server.get(address + path).status_code == 401
        called = server.post(f"{address}gradio_api/call/generate", json={"data": []})
        assert called.status_code == 401
        left = server.post(f"{address}gradio_api/upload", files={"files": ("a.png", b"x")})
        assert left.status_code == 401
        assert Client(address, auth=("me", "secret"), verbose=False).predict(api_name="/generate")[2] == "Done"


def test_many_clients_are_queued_and_rejected_when_the_queue_is_full():
    pipeline = FakePipeline()
    pipeline.hold(0, "prior", 1)
    with (
        serve_page(fake_context(pipeline)) as address,
        httpx.Client(timeout=60) as client,
        ThreadPoolExecutor() as pool,
    ):
        call = partial(client.post, f"{address}gradio_api/call/v2/generate", json={"prompt": "a cat"})
        calls = [pool.submit(call) for _ in range(MAX_OPEN_GENERATIONS + MAX_QUEUED_EVENTS + 10)]
        codes = [each.result().status_code for each in calls]
        pipeline.release()
    assert set(codes) == {200, 503}
    assert codes.count(200) >= MAX_QUEUED_EVENTS
