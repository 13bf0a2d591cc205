"""The log of a server: nothing that a client sent, and bounded."""

import json
import logging
import subprocess
import sys
import time

import httpx
import pytest

from tests.fakes.server import free_port, wait_until
from wuerst_demo.web.middleware.safe_log import MAX_LINES_PER_WINDOW, WINDOW_S, RateFilter, SafeFormatter

MARKER = "ohnemerkzeichen"
SERVER = """
import sys
from tests.fakes.web import fake_context
from wuerst_demo.settings import Settings
from wuerst_demo.web.server import serve
serve(fake_context(), Settings(port=int(sys.argv[1])), "127.0.0.1", int(sys.argv[1]))
"""


def record(name="other.library", text="got %s", error=None):
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord(name, logging.WARNING, "place.py", 7, text, (MARKER,), exc_info)


def test_messages_of_other_libraries_and_texts_of_errors_are_left_out():
    try:
        raise ValueError(MARKER)
    except ValueError as raised:
        error = raised
    formatter = SafeFormatter()
    assert formatter.format(record()) == "WARNING: other.library at place.py:7"
    assert MARKER not in formatter.format(record(error=error))
    own = formatter.format(record("wuerst_demo.web", "A step failed.%.0s", error))
    assert own.startswith("WARNING: A step failed.\nValueError\n")
    assert "raise ValueError(MARKER)" in own
    assert MARKER not in own


def test_the_rate_of_lines_is_bounded_and_the_rest_is_counted():
    now = [0.0]
    bound = RateFilter(lambda: now[0])
    passed = [bound.filter(record()) for _ in range(MAX_LINES_PER_WINDOW + 30)]
    assert passed.count(True) == MAX_LINES_PER_WINDOW
    now[0] = 11.0
    last = record()
    assert bound.filter(last)
    assert "30 lines before this one were left out" in str(last.msg)


@pytest.mark.slow
def test_nothing_that_a_client_sends_reaches_a_log(tmp_path):
    port, written = free_port(), tmp_path / "log"
    address = f"http://127.0.0.1:{port}/"
    with written.open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", SERVER, str(port)], stdout=log, stderr=log)
    try:
        wait_until(lambda: b"The page is at" in written.read_bytes())
        begin = time.monotonic()
        send_everywhere(address)
        windows = (time.monotonic() - begin) // WINDOW_S + 2
    finally:
        process.terminate()
        process.wait(60)
    text = written.read_text()
    assert MARKER not in text
    assert "Traceback" not in text
    assert len(text.splitlines()) < 2 * MAX_LINES_PER_WINDOW * windows


def send_everywhere(address):
    """The marker in paths, queries, headers, file names and every field of every call."""
    config = httpx.get(f"{address}config", timeout=60).json()["dependencies"]
    with httpx.Client(base_url=f"{address}gradio_api/", timeout=60) as client:
        for event in config:
            for data in ([], [MARKER], [MARKER] * len(event["inputs"]), [{MARKER: MARKER}] * len(event["inputs"])):
                for extra in ({}, {"event_data": {MARKER: MARKER}, "session_hash": MARKER, "batched": True}):
                    call = {"data": data, "fn_index": event["id"], **extra}
                    client.post("run/predict", json=call)
                    client.post("queue/join", json={"session_hash": "a", **call})
        client.post("call/v2/generate", json={"prompt": MARKER, MARKER: MARKER})
        called = client.post("call/v2/generate", json={"prompt": MARKER, "seed": MARKER}).json()
        client.get(f"call/v2/generate/{called['event_id']}")  # ends with an error
        for method in ("initialize", "tools/call", MARKER):
            body = {"jsonrpc": "2.0", "id": MARKER, "method": method, "params": {"name": MARKER, "arguments": MARKER}}
            headers = {"accept": "application/json, text/event-stream"}
            client.post("mcp/", json=body, headers=headers)
            client.post("mcp/", content=f'{{"{MARKER}', headers=headers | {"content-type": "application/json"})
        for values in ({"prompt": MARKER}, {"prompt": f"break {MARKER}"}, {MARKER: MARKER}, MARKER):
            client.post(f"{address}live", json={"owner": MARKER, "tab": MARKER, "values": values})
        client.post(f"{address}live", content=MARKER)
        client.post("upload", files={"files": (MARKER, b"a"), "other": (None, MARKER)})
        client.post("upload", files={"files": (MARKER, MARKER.encode())})
        for path in (MARKER, f"file=/{MARKER}", f"call/{MARKER}", f"?{MARKER}={MARKER}"):
            client.get(path)
            client.post(path, content=json.dumps(MARKER), headers={"content-type": "application/json"})
        client.get("info", headers={"x-forwarded-host": MARKER, "cookie": f"{MARKER}={MARKER}", "range": MARKER})
        client.get("", headers={"host": MARKER, "origin": f"http://{MARKER}"})
        for path in (f"queue/data?session_hash={MARKER}", f"call/v2/{MARKER}/{MARKER}"):
            with client.stream("GET", path):  # never ends
                pass
