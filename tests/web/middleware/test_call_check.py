"""Calls that Gradio does not expect: a sentence and at most one line in the log."""

import json
import logging
import random
from types import SimpleNamespace

import pytest

from tests.fakes import server
from tests.fakes.server import run_async
from wuerst_demo.web.middleware.call_check import CallCheckMiddleware

CALLS = [
    ("call/nothing", {"data": []}, 404, "no endpoint"),
    ("call/v2/nothing", {}, 404, "no endpoint"),
    ("run/nothing", {"data": []}, 404, "no endpoint"),
    ("run/predict", {"data": [], "fn_index": 10_000}, 404, "no function"),
    ("run/predict", {"data": [], "fn_index": True}, 404, "no function"),
    ("queue/join", {"data": [], "fn_index": -1, "session_hash": "a"}, 404, "no function"),
    ("queue/join", {"data": [], "session_hash": "a"}, 404, "no function"),
    ("call/generate", {"data": ["a cat"]}, 422, "values"),
    ("call/generate", {"data": {"prompt": "a cat"}}, 422, "values"),
    ("call/generate", {}, 422, "values"),
    ("call/generate", [], 422, "not a JSON object"),
    ("call/generate", '{"data": ["\\ud800"]}', 422, "not valid JSON"),
    ("call/v2/generate", '{"prompt": "\\udfff"}', 422, "not valid JSON"),
    ("call/v2/generate", '{"\\udfff": 1}', 422, "not valid JSON"),
    ("cancel", '{"session_hash": NaN}', 422, "not valid JSON"),
    ("call/v2/generate", "", 422, "not valid JSON"),
    ("call/v2/generate", "\xff", 422, "not valid JSON"),
    ("call/v2/generate", '{"prompt": ' + "[" * 500 + "]" * 500 + "}", 422, "levels deep"),
    ("call/v2/generate", "[" * 100_000, 422, "not valid JSON"),
    ("mcp/", '{"jsonrpc": "\\ud800"}', 422, "not valid JSON"),
]


@pytest.mark.parametrize(("path", "body", "status", "sentence"), CALLS)
def test_a_call_of_nothing_or_with_too_little_is_rejected(instant_page, capfd, path, body, status, sentence):
    content = body.encode("latin-1") if isinstance(body, str) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    answer = server.post(f"{instant_page}gradio_api/{path}", content=content, headers=headers)
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]
    assert "".join(capfd.readouterr()).count("\n") <= 1


class OnePage:
    """A page of two functions: `generate`, through the queue, of which callers send one value of two, and `look`."""

    def __init__(self):
        one, hidden = SimpleNamespace(skip_api=False), SimpleNamespace(skip_api=True)
        common = {"cancels": [], "api_visibility": "public"}
        self.fns = {
            3: SimpleNamespace(api_name="generate", queue=True, inputs=[one, hidden], **common),
            4: SimpleNamespace(api_name="look", queue=False, inputs=[one], **common),
            5: SimpleNamespace(api_name="secret", queue=False, inputs=[], cancels=[], api_visibility="private"),
            6: SimpleNamespace(api_name="stop", queue=False, inputs=[one], cancels=[3], api_visibility="public"),
        }
        self.auth, self.get_blocks = None, lambda: self


def post(path, body, *, headers=(), pieces=1, status=200):
    """What the application sees of a call, its scope and body, and the status and text of the answer."""
    seen, sent = [], []
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    size = -(-len(content) // pieces) or 1
    parts = [content[k : k + size] for k in range(0, len(content), size)] or [b""]
    incoming = [{"type": "http.request", "body": part, "more_body": k < len(parts) - 1} for k, part in enumerate(parts)]

    async def receive():
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    async def application(scope, receive, send):
        seen.append((scope, (await receive())["body"], (await receive())["type"]))
        await send({"type": "http.response.start", "status": status, "headers": []})

    scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers), "app": OnePage()}
    run_async(CallCheckMiddleware(application)(scope, receive, send))
    (scope, body, _), *_ = seen or [(None, None, None)]
    return scope, body, sent[0]["status"], b"".join(each.get("body", b"") for each in sent).decode()


@pytest.mark.parametrize(
    ("route", "body", "answer"),
    [
        ("call/generate", {"data": [1]}, 200),  # the hidden value has a default
        ("call/generate", {"data": []}, "needs 1 values"),
        ("queue/join", {"data": [1], "fn_index": 3}, "needs 2 values"),
        ("queue/join", {"data": [1, 2], "fn_index": 3}, 200),
        ("queue/join", {"data": [1, 2], "fn_index": 2}, "no function"),
        ("queue/join", {"data": [1, 2], "fn_index": 3.0}, "no function"),
        ("queue/join", {"data": [1, 2], "fn_index": None}, "no function"),
        ("queue/other", {}, 200),
        ("run/generate", {"data": [1]}, "through the queue"),
        ("api/generate", {"data": [1]}, "through the queue"),
        ("run/predict", {"data": [1, 2], "fn_index": 3}, "through the queue"),
        ("run/look", {"data": [1]}, 200),
        ("api/look", {"data": [1], "fn_index": None}, 200),
        ("run/predict", {"data": [1], "fn_index": 4}, 200),
        ("run/look", {"data": []}, "needs 1 values"),
        ("run/secret", {"data": []}, "no endpoint"),
        ("call/secret", {"data": []}, "no endpoint"),
        ("call/v2/secret", {}, "no endpoint"),
        ("call/v2/generate", {"prompt": "a"}, 200),
        ("run/stop", {}, 200),  # what cancels has no values
        ("run/look", {"data": [1], "session_hash": ""}, "session_hash holds a text"),
        ("run/look", {"data": [1], "session_hash": 7}, "session_hash holds a text"),
        ("run/look", {"data": [1], "session_hash": None, "trigger_id": 7}, 200),
        ("run/look", {"data": [1], "trigger_id": "7"}, "trigger_id holds a number"),
        ("mcp", {"any": [float("inf")]}, "not valid JSON"),
        ("run/look", {"data": [float("inf")]}, 200),
        ("call/v2/look", [[]], "not a JSON object"),
        ("mcp", [{}], 200),
    ],
)
def test_each_route_has_its_own_checks(route, body, answer):
    scope, _, status, text = post(f"/gradio_api/{route}", body)
    assert (scope is not None) == (answer == 200)
    assert status == (
        200 if answer == 200 else 404 if answer in ("no function", "no endpoint", "through the queue") else 422
    )
    assert answer == 200 or answer in text


def test_the_application_sees_the_known_fields_in_one_piece_of_their_length():
    body = {"data": [1, 10**18, 10**17, -(10**16)], "fn_index": 4, "event_data": "typed", "batched": True}
    headers = [(b"content-length", b"1"), (b"range", b"bytes=0-1"), (b"accept", b"a"), (b"x-last", b"b")]
    scope, seen, _, _ = post("/gradio_api/run/predict/", body, headers=headers, pieces=7)
    assert json.loads(seen) == {"data": [1, 1e18, 10**17, -(10**16)], "fn_index": 4, "event_data": None}
    assert [type(each) for each in json.loads(seen)["data"]] == [int, float, int, int]
    assert scope["headers"] == [(b"accept", b"a"), (b"x-last", b"b"), (b"content-length", str(len(seen)).encode())]


def test_bodies_may_be_empty_and_nested_to_a_depth():
    assert post("/gradio_api/queue/join", b"")[1] == b""
    assert "not valid JSON" in post("/gradio_api/run/look", b"")[3]
    for levels, status in ((30, 200), (31, 422)):  # inside the object and its list
        nested = 1
        for _ in range(levels):
            nested = [nested]
        assert post("/gradio_api/run/look", {"data": nested if levels else []})[2] == status


def test_a_value_that_fails_a_function_is_the_callers_mistake_where_it_is_called_directly():
    for route, status in (("run/look", 422), ("api/look", 422), ("call/look", 500), ("queue/join", 500)):
        assert post(f"/gradio_api/{route}", {"data": [1], "fn_index": 4}, status=500)[2] == status
    assert post("/gradio_api/run/look", {"data": [1]}, status=503)[2] == 503


def test_an_upload_is_not_read():
    assert post("/gradio_api/upload", b"\xff\xfe no JSON")[1] == b"\xff\xfe no JSON"


def test_an_mcp_call_with_a_number_of_4400_digits_is_answered_without_a_traceback(instant_page, capfd):
    body = '{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"n": %s}}' % ("9" * 4400)
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    answer = server.post(f"{instant_page}gradio_api/mcp/", content=body, headers=headers)
    assert answer.status_code < 500
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("event_data", ["typed", 7, ["a"], {"value": "typed"}, None])
def test_an_event_of_the_page_may_carry_any_data(instant_page, event_data):
    events = server.get(f"{instant_page}config").json()["dependencies"]
    event = next(each for each in events if any(name == "input" for _, name in each["targets"]))
    call = {"fn_index": event["id"], "data": [""] * len(event["inputs"]), "session_hash": "a", "event_data": event_data}
    assert server.post(f"{instant_page}gradio_api/queue/join", json=call).status_code == 200


@pytest.mark.parametrize(
    "sent", ["bytes=0-1-2", "bytes=-", "bytes=²-³", "bytes=5-1", "bytes=99999-999999", "a", "bytes=--"]
)
def test_odd_ranges_are_ignored(instant_page, sent):
    shown = server.post(f"{instant_page}gradio_api/call/v2/generate", json={"prompt": "a cat", "seed": 1}).json()
    events = server.get(f"{instant_page}gradio_api/call/v2/generate/{shown['event_id']}").text
    file = json.loads(events.rpartition("data: ")[2])[0][0]
    answer = server.get(file["url"], headers={"range": sent.encode()})
    assert (answer.status_code, answer.content[:4]) == (200, b"\x89PNG")


def hostile(rng, depth=0):
    kinds = 11 if depth < 3 else 9
    match rng.randrange(kinds):
        case 0:
            return rng.choice([None, True, False])
        case 1:
            return rng.choice([0, -1, 2**31, 2**63, 2**64, -(2**70), 10**300])
        case 2:
            return rng.choice([1e308, -0.5, 1e-320])
        case 3 | 4 | 5:
            return rng.choice(["", "a", "\0", "\ud800", "é" * 300, "..", "/etc/passwd", "__class__", "cell 0"])
        case 6:
            return {"path": rng.choice(["", "/", "a\0", "http://a/"]), "meta": {"_type": "gradio.FileData"}}
        case 7:
            return {"__type__": "update", "value": 1}
        case 8:
            return []
        case 9:
            return [hostile(rng, depth + 1) for _ in range(rng.randrange(4))]
        case _:
            return {str(rng.randrange(5)): hostile(rng, depth + 1) for _ in range(rng.randrange(4))}


@pytest.mark.parametrize("seed", range(3))
def test_no_hostile_body_is_answered_with_500_or_a_traceback(instant_page, capfd, caplog, seed):
    rng = random.Random(seed)
    config = server.get(f"{instant_page}config").json()["dependencies"]
    fields = ["data", "fn_index", "session_hash", "event_data", "trigger_id", "batched", "event_id", "simple_format"]
    codes = set()
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            event = rng.choice(config)
            body = {name: hostile(rng) for name in rng.sample(fields, rng.randrange(8))}
            if rng.random() < 0.7:
                body |= {"fn_index": event["id"], "data": [hostile(rng) for _ in event["inputs"]]}
            path = rng.choice(
                ["run/predict", "call/generate", "call/v2/generate", "queue/join", "cancel", "reset", "login"]
            )
            headers = {"content-type": "application/json"}
            answer = server.post(f"{instant_page}gradio_api/{path}", content=json.dumps(body), headers=headers)
            codes.add(answer.status_code)
            assert answer.status_code < 500 or answer.status_code == 503, (path, body, answer.text)
    assert {200, 422} <= codes
    assert "Traceback" not in "".join(capfd.readouterr())
    assert not [each for each in caplog.records if each.exc_info and "Pandas" not in repr(each.exc_info)]
