"""The route of live pictures: its answers, what ends a picture, and who may ask for one."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import httpx
import numpy as np
import pytest
from PIL import Image, ImageChops

from tests.fakes import server
from tests.fakes.cascade import FakeCascade, painted
from tests.fakes.server import serve_page, wait_until
from tests.fakes.web import FakePipeline, StepGate, expected_image, fake_context
from wuerst_demo.engine.engine import Engine
from wuerst_demo.settings import Settings
from wuerst_demo.variation import encode_image_embeddings
from wuerst_demo.web.live import service
from wuerst_demo.web.live.service import BUSY_MESSAGE, MAX_OPEN_REQUESTS

OWNER = "the browser of one visitor"
NAN, FLAT = encode_image_embeddings(np.full((16, 6, 6), np.nan)), encode_image_embeddings(np.ones(36))
VALUES = {"prompt": "a red fox", "seed": 7}


def ask(address, values=VALUES, finish=False, owner=OWNER, tab="left", **options):
    call = {"owner": owner, "tab": tab, "values": values, "finish": finish}
    return server.post(f"{address}live", content=json.dumps(call), **options)


def picture_of(answer):
    head, _, data = answer.json()["picture"].partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def difference(one, other):
    return max(most for _, most in ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getextrema())


@contextmanager
def page_with(pipeline, **options):
    with serve_page(fake_context(pipeline), **options) as address:
        yield address
        pipeline.release()


@contextmanager
def page_over_engine(**options):
    """A page over a real engine with a gate between its steps."""
    gate = StepGate()
    with (
        Engine(FakeCascade(between=gate), **options) as engine,
        serve_page(replace(fake_context(), engine=engine)) as address,
    ):
        yield address, gate, engine
        gate.release()


def test_an_answer_is_the_picture_of_the_settings_with_the_checkpoints_few_steps():
    pipeline = FakePipeline()
    with page_with(pipeline) as address:
        answer = ask(address, {**VALUES, "images": 4, "prior_steps": 12, "width": 384})
        whole = ask(address, {**VALUES, "prior_steps": 12}, finish=True)
    few, full = pipeline.requests
    assert (few.images, few.prior_steps, few.decoder_steps, few.sampler, few.seed) == (1, 8, 4, "ddim", 7)
    assert (full.images, full.prior_steps, full.decoder_steps, full.sampler) == (1, 12, 6, "ddpm")
    assert difference(picture_of(answer), expected_image(few)) <= 6
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["text"] == "Live, 1.00 s"
    assert whole.json()["text"] == "Full quality, 1.00 s"
    assert answer.json()["id"] != whole.json()["id"]


def test_texts_are_in_the_language_of_the_browser(instant_page):
    german = {"headers": {"accept-language": "de"}}
    assert ask(instant_page, finish=True, **german).json()["text"] == "Volle Qualität, 1.00 s"
    assert ask(instant_page, {"prompt": 3}, **german).json()["detail"] == "Prompt muss Text sein."


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"prompt": "x" * 2001}, "Prompt is 2,001 characters long; shorten it to at most 2,000."),
        ({"prompt": "refuse"}, "The fake engine refuses this; ask for something else."),
        ({"prompt": "\ud800"}, "Prompt contains the control character U+D800; remove it."),
        ({"width": 300}, "Width is 300, which is not a multiple of 128; the nearest are 256 and 384."),
        ({"seed": float("nan")}, "Seed must be a whole number from 0 to 4294967295."),
        ({"depth": 1}, "There is no setting 'depth'."),
        ({"variation": {"image_embeddings": NAN, "level": 0}}, "The composition to go on from has values that are not"),
        ({"variation": {"image_embeddings": FLAT, "level": 0}}, "The composition to go on from is damaged; choose"),
    ],
)
def test_what_cannot_be_drawn_is_rejected_with_a_sentence_and_the_next_is_drawn(instant_page, values, said):
    answer = ask(instant_page, values)
    assert (answer.status_code, answer.json()["detail"][: len(said)]) == (422, said)
    assert ask(instant_page).status_code == 200


def test_a_prompt_of_2000_characters_is_drawn(instant_page):
    assert ask(instant_page, {"prompt": "word " * 400}).status_code == 200


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "3", '{"values": 3}', '{"values": {}, "finish": 1}', "[" * 100_000, '{"a": ' + "1" * 5000 + "}"],
    ids=lambda body: body[:20],
)
def test_anything_but_a_call_is_rejected_with_a_sentence(instant_page, body):
    answer = server.post(f"{instant_page}live", content=body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("A live picture is requested with a JSON object")


def test_a_fault_is_not_shown_and_the_next_picture_comes(instant_page):
    answer = ask(instant_page, {"prompt": "break"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert ask(instant_page).status_code == 200


def test_a_newer_text_takes_the_place_of_the_one_before():
    with page_over_engine() as (address, gate, engine), ThreadPoolExecutor() as pool:
        gate.hold()
        first = pool.submit(ask, address)
        wait_until(lambda: gate.steps == 1)
        newer = pool.submit(ask, address, {"prompt": "a blue fox", "seed": 7})
        wait_until(first.done)
        other_tab = pool.submit(ask, address, tab="right")
        wait_until(lambda: engine.request_count == 2)
        gate.release()
        assert first.result().status_code == 409
        assert newer.result().status_code == other_tab.result().status_code == 200


def test_a_lost_connection_leaves_nothing_running(monkeypatch):
    with page_over_engine() as (address, gate, engine):
        tickets, submit = [], engine.submit

        def recorded_submit(*arguments, **options):
            tickets.append(submit(*arguments, **options))
            return tickets[-1]

        monkeypatch.setattr(engine, "submit", recorded_submit)
        gate.hold()
        while not tickets:  # a busy machine may not have read the request yet
            with pytest.raises(httpx.TimeoutException):
                ask(address, timeout=1)
        wait_until(lambda: all(each.over for each in tickets))  # the server has noticed, while its step is held
        gate.release()
        wait_until(lambda: engine.request_count == 0)
        assert gate.steps < 12, "the steps of a live picture"
        assert ask(address).status_code == 200


def test_two_hundred_requests_at_once_draw_the_last_ones_and_leave_nothing():
    with page_over_engine() as (address, _, engine), ThreadPoolExecutor(40) as pool:
        prompts = [{"prompt": f"a fox {k}", "seed": k} for k in range(200)]
        answers = list(pool.map(lambda values: ask(address, values), prompts))
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert answers[-1].status_code == 200 or any(answer.status_code == 200 for answer in answers[-40:])
        wait_until(lambda: engine.request_count == 0)
        last = ask(address, {"prompt": "the last", "seed": 9, "width": 384})
    assert difference(picture_of(last), painted_of(last, {"prompt": "the last", "seed": 9, "width": 384})) <= 6


def painted_of(answer, values):
    context = fake_context()
    return painted(context.limits.request({**values, **context.checkpoint.live}))


def test_an_address_has_its_share_of_what_is_drawn_at_once_and_others_the_rest():
    pipeline, shares = FakePipeline(), {"203.0.113.1": 16, "203.0.113.2": 10}
    pipeline.hold(0, "prior", 1)
    with (
        serve_page(fake_context(pipeline), Settings(trusted_proxy=("127.0.0.1",))) as page,
        ThreadPoolExecutor(sum(shares.values())) as pool,
    ):
        asked, drawn = [], 0
        for address, share in shares.items():
            headers = {"x-forwarded-for": address}
            asked += [pool.submit(ask, page, tab=f"{address} {k}", headers=headers) for k in range(share)]
            drawn += share
            wait_until(lambda drawn=drawn: len(pipeline.requests) == drawn)
            answer = ask(page, tab=f"{address} more", headers=headers)
            assert (answer.status_code, answer.json()["detail"]) == (503, BUSY_MESSAGE)
        pipeline.release()
        assert {each.result().status_code for each in asked} == {200}
    assert shares == {"203.0.113.1": MAX_OPEN_REQUESTS // 2, "203.0.113.2": MAX_OPEN_REQUESTS // 3}


def test_no_more_are_drawn_at_once_than_there_are_places():
    pipeline = FakePipeline()
    pipeline.hold(0, "prior", 1)
    with (
        serve_page(fake_context(pipeline), Settings(trusted_proxy=("127.0.0.1",))) as page,
        ThreadPoolExecutor(MAX_OPEN_REQUESTS) as pool,
    ):

        def ask_from(k):
            return ask(page, tab=f"tab {k}", headers={"x-forwarded-for": f"203.0.113.{k}"})

        asked = [pool.submit(ask_from, k) for k in range(MAX_OPEN_REQUESTS)]
        wait_until(lambda: len(pipeline.requests) == MAX_OPEN_REQUESTS)
        answer = ask_from(MAX_OPEN_REQUESTS)
        assert (answer.status_code, answer.json()["detail"]) == (503, BUSY_MESSAGE)
        pipeline.release()
        assert {each.result().status_code for each in asked} == {200}


def test_a_picture_is_encoded_outside_of_the_event_loop(instant_page, monkeypatch):
    encode, encoded = service._encode_jpeg, []

    def recorded_encode(image):
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        encoded.append(image)
        return encode(image)

    monkeypatch.setattr(service, "_encode_jpeg", recorded_encode)
    assert ask(instant_page).status_code == 200
    assert len(encoded) == 1


def test_a_page_with_a_password_draws_for_clients_that_have_it():
    with serve_page(fake_context(), Settings(auth="me:secret")) as address, httpx.Client(timeout=60) as client:
        assert ask(address).status_code == 401
        client.post(f"{address}login", data={"username": "me", "password": "secret"})
        assert client.post(f"{address}live", json={"owner": OWNER, "values": VALUES}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://other.example"}, {"sec-fetch-site": "cross-site"}, {"host": "other.example"}],
    ids=str,
)
def test_no_page_of_another_site_gets_a_live_picture(instant_page, headers):
    assert ask(instant_page, headers=headers).status_code == 403


def test_a_live_picture_is_asked_for_with_post_and_a_small_body(instant_page):
    assert server.get(f"{instant_page}live").status_code == 405
    assert ask(instant_page, {"prompt": "x" * 300_000}).status_code == 413


def test_idle_work_is_paused_while_a_live_picture_is_drawn():
    pipeline, paused = FakePipeline(), []

    @contextmanager
    def pause():
        paused.append(True)
        yield
        paused.append(False)

    pipeline.hold(0, "prior", 2)
    context = replace(fake_context(pipeline), pause_idle_work=pause)
    with serve_page(context) as address, ThreadPoolExecutor() as pool:
        answer = pool.submit(ask, address)
        wait_until(lambda: pipeline.running == 1)
        assert paused == [True]
        pipeline.release()
        assert answer.result().status_code == 200
    assert paused == [True, False]
