"""The client's address: whom the server believes about it, and where it arrives."""

from __future__ import annotations

from dataclasses import replace

import gradio as gr
import pytest
from starlette.requests import Request

from tests.fakes import server
from tests.fakes.server import run_async, serve_page
from tests.fakes.web import FakePipeline, fake_context
from wuerst_demo.engine.zerogpu import GeneratorEngine
from wuerst_demo.settings import Settings
from wuerst_demo.web.deployment import tells_clients_apart
from wuerst_demo.web.middleware.client_address import MCP_CLIENT_HEADER, ClientAddressMiddleware, client_address

PEER = "192.0.2.9"


def address_of(peer=PEER, forwarded=(), trusted=(), distinct=True, **headers):
    """What the server takes as address of a request that comes from `peer`."""
    found = []

    async def note(scope, receive, send):
        found.append(client_address(gr.Request(Request(scope))))

    lines = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    lines += [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "headers": lines, "client": (peer, 1)}
    run_async(ClientAddressMiddleware(note, trusted, distinct)(scope, None, None))
    return found[0]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (PEER, PEER),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.9", PEER),
        ("127.0.0.1", ""),
        ("127.3.4.5", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
    ],
)
def test_a_client_is_its_ipv4_address_or_ipv6_network_but_nobody_on_this_machine(peer, address):
    assert address_of(peer) == address


@pytest.mark.parametrize("forwarded", [("198.51.100.7",), ("127.0.0.1",), ("",), ("198.51.100.7, 203.0.113.5",)])
def test_nobody_but_a_named_proxy_is_believed(forwarded):
    assert address_of(forwarded=forwarded) == PEER
    assert address_of(forwarded=forwarded, trusted=("192.0.2.8", "10.0.0.0/8")) == PEER
    assert address_of("127.0.0.1", forwarded) == ""


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (("198.51.100.7",), "198.51.100.7"),
        (("203.0.113.5, 198.51.100.7",), "198.51.100.7"),  # the left one came with the request
        (("203.0.113.5", "198.51.100.7"), "198.51.100.7"),
        (("203.0.113.5, 198.51.100.7, 10.1.2.3",), "198.51.100.7"),  # two proxies
        (("203.0.113.5, 198.51.100.7", "10.1.2.3"), "198.51.100.7"),
        (("198.51.100.7:4711",), "198.51.100.7"),
        (("[2001:db8::1]:4711",), "2001:db8::/64"),
        (("a forged line\x07",), "unknown"),
        ((), PEER),
    ],
)
@pytest.mark.parametrize("peer", [PEER, f"::ffff:{PEER}"])
def test_behind_named_proxies_the_last_address_that_is_none_of_them_counts(peer, forwarded, address):
    assert address_of(peer, forwarded, (PEER, "10.0.0.0/8")) == address


def test_a_proxy_on_this_machine_can_be_named():
    assert address_of("127.0.0.1", ("203.0.113.5, 198.51.100.7",), ("127.0.0.1",)) == "198.51.100.7"
    assert address_of("127.0.0.1", ("127.0.0.1",), ("127.0.0.1",)) == ""


def test_on_a_space_clients_have_addresses_once_its_proxy_is_named():
    assert not tells_clients_apart(Settings(), {"SPACE_ID": "a/b"})
    assert tells_clients_apart(Settings(trusted_proxy=("10.0.0.0/8",)), {"SPACE_ID": "a/b"})
    assert tells_clients_apart(Settings(), {})
    assert address_of("10.1.2.3", distinct=False) == ""


def test_no_client_can_name_an_address_as_gradio_does_for_mcp():
    for forged in ("", " ", "198.51.100.7", " 198.51.100.7", "secret 198.51.100.7"):
        assert address_of(**{MCP_CLIENT_HEADER: forged}) == PEER


class Recording(GeneratorEngine):
    """An engine that notes the addresses of its clients."""

    def __init__(self):
        super().__init__(FakePipeline().run)
        self.addresses = []

    def submit(self, request, session, keep_latents=False, *, live=False, address=""):
        self.addresses.append(address)
        return super().submit(request, session, keep_latents, live=live, address=address)


@pytest.mark.parametrize(("trusted", "expected"), [(("127.0.0.1",), "198.51.100.7"), ((), "")])
def test_every_way_to_the_engine_counts_for_the_client(trusted, expected):
    engine = Recording()
    forwarded = {"x-forwarded-for": "203.0.113.5, 198.51.100.7"}
    settings = Settings(trusted_proxy=trusted, allow_host=("127.0.0.1",))
    with serve_page(replace(fake_context(), engine=engine), settings) as address:
        api = f"{address}gradio_api"
        event = server.post(f"{api}/call/v2/generate", json={"prompt": "a cat"}, headers=forwarded).json()["event_id"]
        assert "complete" in server.get(f"{api}/call/generate/{event}").text
        assert engine.addresses == [expected]

        called = {"name": "generate", "arguments": {"prompt": "a cat"}}
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": called}
        accepted = {"accept": "application/json, text/event-stream", **forwarded}
        assert "image/png" in server.post(f"{api}/mcp/", json=asked, headers=accepted).text
        assert engine.addresses == [expected] * 2

        config = server.get(f"{address}config").json()
        for field in ("new-seed", "compare-prompt"):
            number, data = page_event(config, field)
            body = {"data": data, "fn_index": number, "session_hash": "page"}
            assert server.post(f"{api}/queue/join", json=body, headers=forwarded).status_code == 200
            server.get(f"{api}/queue/data", params={"session_hash": "page"})
        assert engine.addresses == [expected] * (2 + 1 + 3)


def page_event(config, field):
    """Number and data of the first event that takes this field and the size: it generates, or compares three seeds."""
    components = {each["id"]: each["props"] for each in config["components"]}
    for event in config["dependencies"]:
        given = [components[each] for each in event["inputs"]]
        if {field, "width"} <= {each.get("elem_id") for each in given} and event["backend_fn"]:
            sent = {"down-name": "", "seed": None}  # the seed is an empty text until the page has its settings
            return event["id"], [sent.get(each.get("elem_id"), each.get("value")) for each in given]
    raise AssertionError(field)
