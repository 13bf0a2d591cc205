"""Connections without a whole request: closed after a time, and the first to go when there are too many."""

import socket
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fakes.server import serve_page
from tests.fakes.web import fake_context
from wuerst_demo.web.middleware import connections

HEAD = b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n"


@pytest.fixture(scope="module")
def page():
    with serve_page(fake_context()) as address:
        yield address


def connect(page):
    return socket.create_connection(("127.0.0.1", urlsplit(page).port), timeout=60)


def is_closed(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("sent", [b"", b"GET / HT", HEAD, HEAD + b"{"], ids=["nothing", "half", "head", "body"])
def test_a_connection_whose_request_does_not_come_is_closed(page, monkeypatch, sent):
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", 0.2)
    monkeypatch.setattr(connections, "BODY_TIMEOUT_S", 0.2)
    with closing(connect(page)) as connection:
        connection.sendall(sent)
        assert is_closed(connection)


def test_an_upload_has_more_time_than_any_other_body(page, monkeypatch):
    monkeypatch.setattr(connections, "BODY_TIMEOUT_S", 0.2)
    head = HEAD.replace(b"queue/join", b"upload").replace(
        b"\r\n\r\n", b"\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    with closing(connect(page)) as upload, closing(connect(page)) as other:
        upload.sendall(head)
        other.sendall(HEAD)
        assert is_closed(other)
        upload.settimeout(0.3)
        with pytest.raises(TimeoutError):
            upload.recv(1)
        upload.settimeout(60)
        monkeypatch.setattr(connections, "UPLOAD_TIMEOUT_S", 0.2)
        assert is_closed(upload)


def test_of_too_many_connections_the_one_that_waited_longest_is_closed(page, monkeypatch):
    monkeypatch.setattr(connections, "max_connections", lambda: 30)
    with ExitStack() as stack:
        idle = [stack.enter_context(closing(connect(page))) for _ in range(60)]
        for _ in range(3):
            assert httpx.get(f"{page}config", timeout=60).status_code == 200
        assert is_closed(idle[0])
        idle[-1].settimeout(0.05)
        with pytest.raises(TimeoutError):
            idle[-1].recv(1)


def test_the_limit_of_open_files_is_raised_and_leaves_some_for_other_use(monkeypatch):
    resource = pytest.importorskip("resource")
    limits, wanted = [(1024, 4096)], []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: wanted.append(pair) or limits.append(pair))
    assert connections.max_connections() == 1024 - 256
    connections.raise_open_file_limit()
    assert wanted == [(4096, 4096)]
    assert connections.max_connections() == 4096 - 256
