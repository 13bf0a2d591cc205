"""Which web sites and host names may use the server: protection from DNS rebinding, cross-site requests and framing.

A browser sends a page's requests to any server, this one included, with the user's cookies. The server therefore looks
at Host, Origin and Sec-Fetch-Site (Fetch Metadata, https://www.w3.org/TR/fetch-metadata/) before anything else does.
Programs that are no browsers send neither Origin nor Sec-Fetch-Site and are not affected.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SCHEME_PORTS = {"http": "80", "https": "443"}
_SCRIPTS = "'self' 'unsafe-inline' 'unsafe-eval' blob:"
"""Gradio's page holds inline scripts, and compiles those of `js=`."""


@dataclass(frozen=True)
class AccessPolicy:
    """Who may use the server."""

    loopback: bool
    """Only this machine's own addresses and `hosts` are accepted as Host."""
    hosts: frozenset[str] = frozenset()
    """Further names of this server, in lower case; with a port where its pages have one that is not the usual."""
    origins: frozenset[str] = frozenset()
    """Web sites whose pages may call the API, as `https://example.org` or with a port."""
    space: bool = False
    """On a Hugging Face Space: shown in its frame, and callable by every page, without cookies."""

    def accepts_host(self, host: str) -> bool:
        name = _host_name(host)
        named = name == "localhost" or name in map(_host_name, self.hosts)
        return not self.loopback or named or _is_loopback_address(name)

    def is_own_origin(self, origin: str, *hosts: str) -> bool:
        """Whether a page of this server has that origin; `hosts` are those of the request's headers.

        Ports count: another port of the same machine is another program.
        """
        scheme, _, name = origin.lower().partition("://")
        if scheme not in _SCHEME_PORTS or not name:
            return False
        port = f":{_SCHEME_PORTS[scheme]}"
        return name.removesuffix(port) in {host.lower().removesuffix(port) for host in (*hosts, *self.hosts)}

    @property
    def content_security_policy(self) -> str:
        frames = "'self' https://huggingface.co https://*.hf.space" if self.space else "'none'"
        return (
            f"default-src 'self'; script-src {_SCRIPTS}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
            " font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self';"
            f" frame-ancestors {frames}"
        )


class OriginCheckMiddleware:
    """ASGI middleware: 403 for foreign host names and web sites, CORS headers for those that are allowed, and security
    headers on every response."""

    def __init__(self, app: ASGIApp, policy: AccessPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers, policy = Headers(scope=scope), self._policy
        host, origin = headers.get("host", ""), headers.get("origin")
        # Behind a proxy. No page of another site can send this header: that takes a preflight, which is rejected.
        forwarded = headers.get("x-forwarded-host", "").partition(",")[0].strip()
        own = origin is not None and policy.is_own_origin(origin, host, forwarded)
        shared = origin is not None and not own and (policy.space or origin in policy.origins)
        if policy.space and origin is None and scope.get("method") in ("GET", "HEAD"):  # an image in another page
            shared = _is_cross_site_request(headers, scope, policy)
        if not policy.accepts_host(host):
            await self._reject("this host name is not the server's; start it with --allow-host", scope, receive, send)
        elif shared and scope["type"] == "http":
            await self._serve_cross_origin(origin or "*", scope, receive, send)
        elif (origin is not None and not own) or _is_cross_site_request(headers, scope, policy):
            await self._reject("another web site may not use this server", scope, receive, send)
        else:
            await self._app(scope, receive, self._with_headers(send))

    async def _reject(self, reason: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await PlainTextResponse(f"Rejected: {reason}.", 403)(scope, receive, self._with_headers(send))

    async def _serve_cross_origin(self, origin: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a page of an allowed site, without the user's cookies."""
        headers = Headers(scope=scope)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            allowed = {
                "Access-Control-Allow-Methods": "GET, HEAD, POST, DELETE",
                "Access-Control-Allow-Headers": headers.get("access-control-request-headers", ""),
                "Access-Control-Max-Age": "600",
            }
            await Response(status_code=204, headers=allowed)(scope, receive, self._with_headers(send, origin))
            return
        kept = [(name, value) for name, value in scope["headers"] if name != b"cookie"]
        await self._app({**scope, "headers": kept}, receive, self._with_headers(send, origin))

    def _with_headers(self, send: Send, origin: str = "") -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self._policy.content_security_policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                # Browsers send Sec-Fetch-Site only to https and to loopback addresses.
                headers["Cross-Origin-Resource-Policy"] = "cross-origin" if origin else "same-origin"
                if origin:
                    headers["Access-Control-Allow-Origin"] = origin
                    headers.add_vary_header("Origin")
                if not self._policy.space:
                    message["headers"] = [_first_party(*each) for each in message["headers"]]
            await send(message)

        return send_with_headers


def _is_cross_site_request(headers: Headers, scope: Scope, policy: AccessPolicy) -> bool:
    """Whether a browser says that another site's page makes this request, other than by following a link."""
    if headers.get("sec-fetch-site") not in ("cross-site", "same-site"):  # same-site: another port, or a sister domain
        return False
    frames = ("document", "iframe") if policy.space else ("document",)
    navigates = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") in frames
    return not (navigates and scope.get("method") in ("GET", "HEAD"))


def _host_name(host: str) -> str:
    """The name in a Host header, in lower case, without port and the brackets of an IPv6 address."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](:\d*)?", host)
    return (bracketed[1] if bracketed else host.rpartition(":")[0] if re.search(r":\d*$", host) else host).lower()


def _is_loopback_address(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _first_party(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A response header; a cookie for other sites too becomes one for this site alone."""
    cookie = name.lower() == b"set-cookie"
    return name, re.sub(rb"(?i)samesite=none", b"SameSite=lax", value) if cookie else value
