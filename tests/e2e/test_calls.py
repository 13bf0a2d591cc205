"""What programs send, past the page: each answer is a picture or the sentence that the page would show."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import safehttpx
from gradio_client import Client

from tests.e2e import web
from tests.e2e.opening import opened
from tests.e2e.test_page import settled
from tests.ui.fakes import LIMITS, Painter, studio
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.metadata import from_png
from wuerst_demo.settings import Settings
from wuerst_demo.ui import listening
from wuerst_demo.ui.gate import LARGEST_FILE
from wuerst_demo.ui.page import AT_ONCE, IN_LINE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(quick):
    return Client(quick, verbose=False)


def raw(address, **values):
    """The last event of a call with these values as JSON, NaN included, and its data."""
    called = web.post(
        f"{address}gradio_api/call/v2/generate",
        content=json.dumps(values),
        headers={"content-type": "application/json"},
    )
    called.raise_for_status()
    told = web.get(f"{address}gradio_api/call/generate/{called.json()['event_id']}").text
    event, data = told.strip().rsplit("event: ", 1)[1].split("\ndata: ", 1)
    return event, json.loads(data)


def sentence(**values):
    with pytest.raises(InvalidRequest) as refused:
        LIMITS.request(values)
    return str(refused.value)


def test_a_program_gets_pictures_that_carry_the_requests_it_gets(client, tmp_path):
    pictures, requests, told = client.predict(prompt="a cat", images=2, seed=7, api_name="/generate")
    assert told == "Done"
    assert [request["seed"] for request in requests] == [7, 8]
    for picture, request in zip(pictures, requests, strict=True):
        assert from_png(Path(picture)).values == request


def test_the_answer_to_one_request_asked_again_is_the_same_picture(client):
    pictures, (request,), _ = client.predict(prompt="a cat", api_name="/generate")
    again, _, _ = client.predict(**request, api_name="/generate")
    assert Path(pictures[0]).read_bytes() == Path(again[0]).read_bytes()


def test_progress_streams(client):
    told = [progress for *_, progress in client.submit(prompt="a cat", prior_steps=2, api_name="/generate")]
    assert told[0] == "Waiting"
    assert "Prior 1 of 2" in told
    assert told[-1] == "Done"


@pytest.mark.parametrize(
    "values",
    [
        {"width": 300},
        {"width": float("nan")},
        {"width": "512"},
        {"width": 100_000, "height": 10_000},
        {"width": True},
        {"seed": -1},
        {"seed": 2**40},
        {"images": 9},
        {"images": 0},
        {"prior_steps": 1.5},
        {"prior_guidance": float("inf")},
        {"prior_schedule": "cosine"},
        {"weighting": "yes"},
        {"prompt": "x" * 100_000},
        {"prompt": "\x00"},
        {"prompt": ["a", "b"]},
        {"negative_prompt": {"path": "/etc/passwd"}},
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_answered_with_the_same_sentence_as_anywhere(quick, values):
    event, data = raw(quick, **values)
    assert event == "error"
    assert data["error"] == sentence(**values)


def test_the_next_request_works(quick):
    assert raw(quick, width=300)[0] == "error"
    assert raw(quick, width=256)[0] == "complete"


def test_a_fault_of_ours_says_nothing_of_the_inside(quick):
    event, data = raw(quick, prompt="break")
    assert event == "error"
    assert "Something went wrong on our side" in data["error"]
    assert "secret" not in json.dumps(data)


def test_an_unknown_field_is_refused_with_the_fields_there_are(quick):
    answer = web.post(f"{quick}gradio_api/call/v2/generate", json={"prompt": "a cat", "widht": 256})
    assert answer.status_code == 422
    assert "no setting 'widht'. The settings are: prompt" in answer.json()["detail"]


def test_the_queue_cannot_be_passed_by(quick):
    for path in ("run/generate", "api/generate"):
        assert web.post(f"{quick}gradio_api/{path}", json={"data": []}).status_code == 404
    events = web.get(f"{quick}config").json()["dependencies"]
    queued = [event["id"] for event in events if event["backend_fn"] and event["queue"] is not False]
    assert len(queued) > 4  # what draws, reads or compares; a click that only moves values about has no queue
    for number in queued:
        answer = web.post(f"{quick}gradio_api/run/predict", json={"data": [], "fn_index": number})
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
def test_what_is_nobodys_business_is_closed(quick, path):
    assert web.get(quick + path, follow_redirects=True).status_code in (400, 401, 403, 404)


@pytest.mark.parametrize("marked", [{}, {"meta": {"_type": "gradio.FileData"}}], ids=["plain", "marked as a file"])
@pytest.mark.parametrize("path", [str(Path(__file__).resolve()), "README.md", "a\0b", ""])
def test_the_slider_hands_out_no_file_that_the_page_has_not_served(quick, path, marked):
    config = web.get(f"{quick}config").json()
    number = {each["props"].get("elem_id"): each["id"] for each in config["components"]}
    slides = [event for event in config["dependencies"] if number["slider"] in event["outputs"]]
    assert len(slides) > 3
    file = {"path": path, **marked}
    gallery = [{"image": file, "caption": None}] * 2
    table = {"rows": [{"label": "", "cells": [{"label": "a", "file": file}] * 2}]}
    sent = {number["left"]: "cell 0", number["right"]: "drawn 1", number["board"]: table}
    for event in slides:
        data = [sent.get(each, gallery) for each in event["inputs"]]
        answer = web.post(f"{quick}gradio_api/run/predict", json={"data": data, "fn_index": event["id"]})
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
def test_what_gradio_could_do_beside_the_page_is_not_there(quick, path):
    for method in ("GET", "POST"):
        assert httpx.request(method, quick + path).status_code == 404


def test_no_file_is_fetched_from_elsewhere(quick, monkeypatch):
    asked = []
    monkeypatch.setattr(safehttpx, "get", lambda url, **options: asked.append(url))
    config = web.get(f"{quick}config").json()
    file = {"path": "http://example.org/a.png", "meta": {"_type": "gradio.FileData"}}
    for event in config["dependencies"]:
        if event["backend_fn"] and event["queue"] is False:
            data = [file for _ in event["inputs"]]
            web.post(f"{quick}gradio_api/run/predict", json={"data": data, "fn_index": event["id"]})
    assert raw(quick, prompt=file)[0] == "error"
    assert asked == []


def test_a_request_larger_than_any_of_the_pages_is_refused_before_it_is_read(quick):
    large = json.dumps({"prompt": "x" * 300_000})
    for path in ("call/v2/generate", "queue/join", "run/predict", "run/upload"):
        headers = {"content-type": "application/json"}
        answer = web.post(f"{quick}gradio_api/{path}", content=large, headers=headers)
        assert answer.status_code == 413, path


def test_who_asks_and_never_listens_has_nothing_drawn_for_long(monkeypatch):
    monkeypatch.setattr(listening, "PATIENCE", 0.5)
    painter = Painter(pause=0.05)
    with opened(studio(painter)) as address:
        wish = {"prompt": "a cat", "images": 8, "prior_steps": 100, "decoder_steps": 100}
        web.post(f"{address}gradio_api/call/v2/generate", json=wish).raise_for_status()
        settled(lambda: painter.closed == 1)


def test_nobody_leaves_files_here_that_are_larger_than_any_picture(quick):
    answer = web.post(f"{quick}gradio_api/upload", files={"files": ("a.png", b"x" * (LARGEST_FILE + 1))})
    assert answer.status_code == 413


def test_a_page_with_a_password_lets_nobody_in_without_it():
    with opened(studio(), Settings(auth="me:secret")) as address:
        for path in ("config", "gradio_api/info"):
            assert web.get(address + path).status_code == 401
        called = web.post(f"{address}gradio_api/call/generate", json={"data": []})
        assert called.status_code == 401
        left = web.post(f"{address}gradio_api/upload", files={"files": ("a.png", b"x")})
        assert left.status_code == 401
        assert Client(address, auth=("me", "secret"), verbose=False).predict(api_name="/generate")[2] == "Done"


def test_a_crowd_is_put_in_line_and_told_to_come_back_when_the_line_is_full():
    def ask(address):
        return web.post(f"{address}gradio_api/call/v2/generate", json={"prompt": "a cat"}).status_code

    with opened(studio(Painter(pause=1))) as address, ThreadPoolExecutor(16) as crowd:
        codes = list(crowd.map(lambda _: ask(address), range(AT_ONCE + IN_LINE + 10)))
    assert set(codes) == {200, 503}
    assert codes.count(200) >= IN_LINE
