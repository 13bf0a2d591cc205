"""Bound on open requests of one client address, above all event streams."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import pytest

from tests.fakes.server import get, post, serve_page, wait_until
from tests.fakes.web import FakePipeline, fake_context
from wuerst_demo.settings import Settings
from wuerst_demo.web.middleware import open_requests
from wuerst_demo.web.middleware.health import HealthRoutes

MOST = 6


@pytest.fixture(scope="module")
def page():
    """The address of a page that never finishes an image."""
    pipeline = FakePipeline()
    pipeline.hold(0, "prior", 1)
    health = HealthRoutes(lambda: {"alive": True}, bytes)
    with serve_page(fake_context(pipeline), Settings(trusted_proxy=("127.0.0.1",)), health) as address:
        yield address
        pipeline.release()


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(open_requests, "MAX_OPEN_REQUESTS_PER_ADDRESS", MOST)
    monkeypatch.setattr(open_requests, "max_connections", lambda: 2 * MOST)


def open_stream(page, path, address):
    """A connection over which an event stream has begun to come."""
    host = urlsplit(page)
    connection = socket.create_connection((host.hostname, host.port), timeout=60)
    lines = (
        f"GET /gradio_api/{path} HTTP/1.1",
        f"Host: {host.netloc}",
        "Accept: application/json, text/event-stream",
        f"X-Forwarded-For: {address}",
    )
    connection.sendall("\r\n".join((*lines, "", "")).encode())
    assert b" 200 " in connection.recv(4096)
    return connection


def stream_path(page, kind, headers):
    """The path of a new event stream."""
    match kind:
        case "a program's call":
            call = post(f"{page}gradio_api/call/v2/generate", json={"prompt": "a cat"}, headers=headers)
            return f"call/generate/{call.json()['event_id']}"
        case "a page's events":
            config = get(f"{page}config", headers={"x-forwarded-for": "198.51.100.7"}).json()
            values = {each["id"]: each["props"].get("value") for each in config["components"]}
            (event,) = [each for each in config["dependencies"] if each["api_name"] == "generate"]
            data, session = [values[each] for each in event["inputs"]], secrets.token_hex()
            body = {"data": data, "fn_index": event["id"], "session_hash": session}
            assert post(f"{page}gradio_api/queue/join", json=body, headers=headers).status_code == 200
            return f"queue/data?session_hash={session}"
        case "a heartbeat":
            return "heartbeat/any"
        case _:
            return "mcp/"


@pytest.mark.parametrize("address", ["192.0.2.1", "127.0.0.1"])
@pytest.mark.parametrize("kind", ["a program's call", "a page's events", "a heartbeat", "MCP"])
def test_streams_of_one_address_are_bounded_and_others_are_served(page, few, kind, address):
    headers = {"x-forwarded-for": address}

    def served(headers=headers):
        return get(f"{page}config", headers=headers).status_code

    with ExitStack() as stack:
        for _ in range(MOST):
            assert served() == 200
            stack.enter_context(closing(open_stream(page, stream_path(page, kind, headers), address)))
        assert served() == 429
        assert "Aus deinem Netz" in get(f"{page}config", headers=headers | {"accept-language": "de"}).text
        assert served({"x-forwarded-for": "192.0.2.2"}) == 200
        assert get(f"{page}healthz", headers=headers).status_code == 200
    wait_until(lambda: served() == 200)
