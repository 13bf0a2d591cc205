"""Delay of guesses, and logout, of a page with a password."""

import logging

import httpx
import pytest
from starlette.responses import PlainTextResponse

from tests.fakes.server import run_async, serve_page
from tests.fakes.web import fake_context
from wuerst_demo.settings import Settings
from wuerst_demo.web.middleware.login import MAX_ADDRESSES, MAX_DELAY_S, LoginMiddleware


class Server:
    """A login behind the middleware; the time is `now`."""

    def __init__(self):
        self.now, self.checked = 0.0, 0
        self._middleware = LoginMiddleware(self._check, lambda: self.now)

    async def _check(self, scope, receive, send):
        self.checked += 1
        await PlainTextResponse("", scope["status"])(scope, receive, send)

    def login(self, address="192.0.2.1", status=400):
        sent = []

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "path": "/login",
            "method": "POST",
            "client": (address, 1),
            "status": status,
            "headers": [],
        }
        run_async(self._middleware(scope, None, send))
        return sent[0]["status"]


def test_guesses_of_one_address_wait_longer_and_longer():
    server = Server()
    for _ in range(3_600):
        server.login()
        server.now += 1.0
    assert server.checked < 3 + 6 + 3600 / MAX_DELAY_S + 1
    server.now += MAX_DELAY_S
    assert server.login(status=200) == 200
    assert [server.login() for _ in range(4)] == [400, 400, 400, 429]


@pytest.mark.parametrize(
    ("other", "status"), [("192.0.2.2", 200), ("2001:db8::2", 200), ("::ffff:192.0.2.1", 429), ("192.0.2.1", 429)]
)
def test_another_address_does_not_wait(other, status):
    server = Server()
    for _ in range(4):
        server.login()
    assert server.login(other, status=200) == status


def test_addresses_of_one_ipv6_network_wait_together():
    server = Server()
    for host in range(4):
        server.login(f"2001:db8::{host:x}")
    assert server.login("2001:db8::ffff") == 429


def test_a_bounded_number_of_addresses_is_remembered():
    server = Server()
    for number in range(MAX_ADDRESSES + 10):
        server.login(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(server._middleware._guesses) == MAX_ADDRESSES


def test_a_failed_login_is_one_line_without_name_and_password(caplog):
    with caplog.at_level(logging.INFO):
        Server().login()
    assert [record.getMessage() for record in caplog.records] == ["A login from 192.0.2.1 failed."]


def test_a_logout_ends_one_session_and_needs_post():
    with serve_page(fake_context(), Settings(auth="me:secret")) as address:
        tokens = []
        for _ in range(2):
            with httpx.Client(base_url=address, timeout=60) as client:
                client.post("/login", data={"username": "me", "password": "secret"})
                (token,) = {value for name, value in client.cookies.items() if name.startswith("access-token-unsecure")}
                tokens.append(dict.fromkeys(client.cookies, token))

        def status(cookies, method="GET", path="/config"):
            with httpx.Client(base_url=address, cookies=cookies, timeout=60) as client:
                return client.request(method, path).status_code

        assert status(tokens[0], path="/logout") == 405
        assert [status(cookies) for cookies in tokens] == [200, 200]
        assert status(tokens[0], "POST", "/logout") == 204
        assert [status(cookies) for cookies in tokens] == [401, 200]


def test_a_served_page_slows_guesses_down():
    with serve_page(fake_context(), Settings(auth="me:secret")) as address, httpx.Client(timeout=60) as client:
        guess = {"username": "me", "password": "wrong"}
        codes = [client.post(f"{address}login", data=guess).status_code for _ in range(20)]
    assert codes[:3] == [400] * 3
    assert codes.count(429) > 10
