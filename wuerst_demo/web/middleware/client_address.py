"""Address of the client of a request, by which the server shares out what it has.

A proxy connects for all of its clients and names them in X-Forwarded-For. Anyone can send that header: it counts only
from proxies that the operator has named, read from the right as far as these have written it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import gradio as gr
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

MCP_CLIENT_HEADER = "x-wuerst-mcp-client"
"""Address of an MCP client, in the request that Gradio sends to its own server for a tool call; see `mcp_client`."""
_MCP_SECRET = secrets.token_urlsafe(32)
_STATE = "client_address"


class ClientAddressMiddleware:
    """ASGI middleware: `scope["client"]` behind a trusted proxy, and the address that `client_address` gives."""

    def __init__(self, app: ASGIApp, trusted_proxies: Sequence[str] = (), distinct: bool = True) -> None:
        """`trusted_proxies` are addresses and networks. Without `distinct`, connections come from a proxy that is not
        named, so that their addresses tell nothing about clients."""
        self._app = app
        self._distinct = distinct
        self._forwarded = ProxyHeadersMiddleware(self._note_address, list(trusted_proxies))  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        host, port = scope.get("client") or ("", 0)
        scope = {**scope, "client": (_unmapped(host), port)}
        await self._forwarded(scope, receive, send)  # type: ignore[arg-type]

    async def _note_address(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = scope["client"][0]
        secret, _, mcp_client = Headers(scope=scope).get(MCP_CLIENT_HEADER, "").partition(" ")
        if secrets.compare_digest(secret.encode(), _MCP_SECRET.encode()):
            address = mcp_client
        else:
            address = network_address(host) if self._distinct and not _is_loopback(host) else ""
        await self._app({**scope, "state": {**scope.get("state", {}), _STATE: address}}, receive, send)


def client_address(request: gr.Request | HTTPConnection) -> str:
    """The address of a request's client, an IPv6 address as its /64 network; "" where clients cannot be told apart.

    That is so for everything that comes from this machine: its own users, a share link, a proxy that is not named.
    """
    connection = request.request if isinstance(request, gr.Request) else request
    return str(connection.scope.get("state", {}).get(_STATE, "")) if connection is not None else ""


def network_address(host: str) -> str:
    """An IPv4 address; of an IPv6 address the /64 network, all of which one client can have; "unknown" for others."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or ip_network((address, 64), strict=False))


def mcp_client(request: HTTPConnection) -> str:
    """Value of `MCP_CLIENT_HEADER` for an MCP client's request; nobody outside of this process can make one."""
    return f"{_MCP_SECRET} {client_address(request)}".rstrip()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _unmapped(host: str) -> str:
    """An IPv4 address as such where a socket for both versions has it as an IPv6 address."""
    try:
        return str(getattr(ip_address(host), "ipv4_mapped", None) or host)
    except ValueError:
        return host
