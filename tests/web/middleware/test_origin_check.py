"""Host names and web sites that may use a page, by the headers that browsers send."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from wuerst_demo.settings import Settings
from wuerst_demo.web.deployment import access_policy
from wuerst_demo.web.middleware.origin_check import OriginCheckMiddleware

SPACE = {"SPACE_ID": "somebody/wuerstchen", "SPACE_HOST": "somebody-wuerstchen.hf.space"}
FOREIGN = {"origin": "http://evil.example:7889", "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}
LINK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def client_of(settings=None, env=None, host="127.0.0.1"):
    async def show_cookie(request):
        answer = PlainTextResponse(request.headers.get("cookie", "no cookie"))
        answer.set_cookie("a", "b", samesite="none", secure=True)
        return answer

    policy = access_policy(settings or Settings(), env or {}, host)
    routes = [Route("/{path:path}", show_cookie, methods=["GET", "POST"])]
    middleware = [Middleware(OriginCheckMiddleware, policy)]
    return TestClient(Starlette(routes=routes, middleware=middleware), "http://127.0.0.1:7860")


def status(client, headers, method="POST", path="/gradio_api/queue/join"):
    return client.request(method, path, headers=headers).status_code


@pytest.mark.parametrize("name", ["localhost:7860", "127.0.0.1:7860", "127.0.0.2", "[::1]:7860", "LOCALHOST"])
@pytest.mark.parametrize("listens", ["127.0.0.1", "::1", "[::1]", "localhost"])
def test_a_local_page_answers_to_names_of_this_machine(name, listens):
    assert status(client_of(host=listens), {"host": name}) == 200


@pytest.mark.parametrize(
    "name", ["a.localhost:7860", "localhost.:7860", "evil.example", "192.168.0.5", "0.0.0.0:7860", "", "[::1", "::1]:a"]
)
@pytest.mark.parametrize("listens", ["127.0.0.1", "::1", "[::1]", "localhost"])
def test_a_local_page_rejects_every_other_host_name(name, listens):
    answer = client_of(host=listens).get("/", headers={"host": name})
    assert answer.status_code == 403
    assert "--allow-host" in answer.text
    assert "\n" not in answer.text


@pytest.mark.parametrize(
    ("settings", "env", "listens", "name"),
    [
        (Settings(allow_host=("demo.example.org",)), {}, "127.0.0.1", "demo.example.org"),
        (Settings(allow_host=("demo.example.org:8443",)), {}, "127.0.0.1", "demo.example.org:8443"),
        (Settings(root_path="https://demo.example.org/w"), {}, "127.0.0.1", "demo.example.org"),
        (Settings(share=True, no_auth=True), {}, "127.0.0.1", "0123456789abcdef.gradio.live"),
        (Settings(), {}, "0.0.0.0", "192.168.0.5:7860"),
        (Settings(), {}, "192.168.0.5", "192.168.0.5:7860"),
        (Settings(), SPACE, "0.0.0.0", SPACE["SPACE_HOST"]),
    ],
    ids=["named", "named with port", "root path", "share link", "all addresses", "LAN address", "Space"],
)
def test_own_pages_work_under_every_name_of_the_server(settings, env, listens, name):
    client = client_of(settings, env, listens)
    for scheme in ("https", "http"):
        own = {"host": name, "origin": f"{scheme}://{name}", "sec-fetch-site": "same-origin"}
        assert status(client, own) == 200
        assert status(client, LINK | {"host": name}, "GET", "/") == 200
    if not env:
        assert status(client, {"host": name, **FOREIGN}) == 403


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        (Settings(), {"x-forwarded-host": "demo.example.org"}),
        (Settings(allow_host=("demo.example.org",)), {}),
        (Settings(root_path="https://demo.example.org/w"), {}),
    ],
)
def test_a_proxy_may_rewrite_the_host(settings, headers):
    client = client_of(settings)
    assert status(client, {"origin": "https://demo.example.org", **headers}) == 200
    assert status(client, {"origin": "https://demo.example.org:444", **headers}) == 403
    assert status(client, {"origin": "https://evil.example", **headers}) == 403


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:7861", "http://127.0.0.1", "http://[", "file://127.0.0.1:7860"],
)
@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/mcp/", "/gradio_api/upload", "/login"])
def test_pages_of_other_origins_are_rejected_everywhere(origin, path):
    client = client_of()
    for method in ("POST", "GET", "OPTIONS"):
        headers = {"origin": origin, "access-control-request-method": "POST"}
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_only_following_a_link_leads_here_from_another_site(site):
    client = client_of()
    for mode, dest in (("no-cors", "image"), ("no-cors", "script"), ("navigate", "iframe"), ("no-cors", "empty")):
        headers = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}
        assert status(client, headers, "GET", "/gradio_api/file=/tmp/a.png") == 403
    assert status(client, LINK | {"sec-fetch-site": site}, "GET", "/") == 200
    assert status(client, LINK | {"sec-fetch-site": site}, "POST", "/") == 403


def test_programs_and_own_addresses_send_no_such_headers():
    client = client_of()
    assert status(client, {}) == 200
    assert status(client, {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, "GET", "/") == 200


def test_an_allowed_site_calls_the_api_without_cookies():
    client = client_of(Settings(allow_origin=("https://friend.example",)))
    client.cookies.set("secret", "1")
    friend = {"origin": "https://friend.example", "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}
    asked = friend | {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    preflight = client.options("/gradio_api/call/generate", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == "content-type"
    for answer in (preflight, client.post("/gradio_api/call/generate", headers=friend)):
        assert answer.headers["access-control-allow-origin"] == "https://friend.example"
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["vary"] == "Origin"
    assert answer.text == "no cookie"
    assert status(client, FOREIGN) == 403


def test_every_page_may_call_a_space_without_cookies():
    client = client_of(env=SPACE, host="0.0.0.0")
    client.cookies.set("secret", "1")
    own = {"host": SPACE["SPACE_HOST"], "origin": f"https://{SPACE['SPACE_HOST']}"}
    assert client.post("/", headers=own).text == "secret=1"
    assert client.post("/", headers=FOREIGN).text == "no cookie"
    image = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    shown = client.get("/gradio_api/file=/tmp/a.png", headers=image)
    assert (shown.text, shown.headers["cross-origin-resource-policy"]) == ("no cookie", "cross-origin")


def test_a_space_is_shown_in_the_frame_of_hugging_face_and_nowhere_else():
    framed = LINK | {"sec-fetch-dest": "iframe"}
    space = client_of(env=SPACE, host="0.0.0.0").get("/", headers=framed)
    assert space.status_code == 200
    assert "frame-ancestors 'self' https://huggingface.co" in space.headers["content-security-policy"]
    assert "samesite=none" in space.headers["set-cookie"].lower()
    assert status(client_of(), framed, "GET", "/") == 403
    assert "frame-ancestors 'none'" in client_of().get("/").headers["content-security-policy"]


def test_every_answer_has_security_headers_and_no_cookie_for_other_sites():
    client = client_of()
    for answer in (client.get("/"), client.get("/", headers={"host": "evil.example"})):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "samesite=lax" in client.get("/").headers["set-cookie"].lower()


def test_a_websocket_from_another_site_is_closed():
    client = client_of()
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws", headers={"origin": "http://evil.example"}):
        pass


@pytest.mark.parametrize("path", ["", "config", "gradio_api/mcp/", "gradio_api/upload", "theme.css"])
def test_a_served_page_rejects_foreign_names_and_sites(instant_page, path):
    for headers in ({"host": "a.localhost:7860"}, {"host": "localhost."}, FOREIGN, {"origin": "null"}):
        for method in ("GET", "POST", "OPTIONS"):
            answer = httpx.request(method, instant_page + path, headers=headers)
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
    assert httpx.get(instant_page, headers={"origin": instant_page.rstrip("/")}).status_code == 200
