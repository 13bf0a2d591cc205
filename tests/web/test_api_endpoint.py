"""The web API: its description, and answers over the network without a browser."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client

from tests.fakes import server
from tests.fakes.server import serve_page
from tests.fakes.web import LIMITS, FakePipeline, fake_context
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.variation import encode_image_embeddings
from wuerst_demo.web.api_endpoint import create_endpoint
from wuerst_demo.web.middleware import backpressure
from wuerst_demo.web.page import build_page

EMBEDDINGS = encode_image_embeddings(np.ones((16, 6, 6), np.float32))


@pytest.fixture(scope="module")
def page():
    return build_page(fake_context())


def test_only_generate_is_a_public_endpoint(page):
    assert {fn.api_name for fn in page.fns.values() if fn.fn and fn.api_visibility != "private"} == {"generate"}
    assert set(page.get_api_info()["named_endpoints"]) == {"/generate"}
    assert page.get_api_info()["unnamed_endpoints"] == {}
    assert page.api_open is False


def test_the_endpoint_has_the_request_fields_with_their_descriptions(page):
    told = page.get_api_info()["named_endpoints"]["/generate"]
    assert [each["parameter_name"] for each in told["parameters"]] == [*LIMITS.descriptions, "variation", "morph"]
    assert told["parameters"][-1]["parameter_default"] is None
    for each, (name, description) in zip(told["parameters"], LIMITS.descriptions.items(), strict=False):
        assert each["label"] == description.label
        assert each["parameter_has_default"], name
        assert each["parameter_default"] == description.default
        assert description.help in each["python_type"]["description"]
    width = told["parameters"][3]
    assert (width["type"]["minimum"], width["type"]["maximum"]) == (256, 512)
    assert [each["label"] for each in told["returns"]] == ["Pictures", "Requests", "Progress"]


def test_the_endpoint_is_a_documented_generator_with_typed_parameters():
    function = create_endpoint(fake_context())
    assert inspect.isgeneratorfunction(function)
    for name, description in LIMITS.descriptions.items():
        assert f"{name}: {description.help}" in function.__doc__
        assert inspect.signature(function).parameters[name].annotation is not inspect.Parameter.empty


@pytest.fixture(scope="module")
def client(instant_page):
    return Client(instant_page, verbose=False)


def test_a_picture_is_varied_by_what_its_file_carries(client, instant_page):
    values = {"image_embeddings": EMBEDDINGS, "level": 0.25, "details_seed": 7}
    [picture], [request], _ = client.predict(prompt="a cat", seed=9, variation=values, api_name="/generate")
    assert request["variation"] == values
    assert read_image_settings(Path(picture)).values["variation"] == values
    event, _ = call_raw(instant_page, prompt="a cat", variation={**values, "level": 2})
    assert event == "error"


def test_a_morph_answers_with_its_frames_and_an_animation(client, instant_page):
    pictures, requests = [], []
    for seed in (7, 9):
        [picture], [request], _ = client.predict(prompt="a cat", seed=seed, api_name="/generate")
        pictures.append(Path(picture).read_bytes())
        requests.append(request)
    first, last = ({"request": each, "image_embeddings": EMBEDDINGS} for each in requests)
    values = {"first": first, "last": last, "frames": 4}
    files, made, _ = client.predict(morph=values, api_name="/generate")
    assert [Path(file).suffix for file in files] == [".png"] * 4 + [".webp"]
    assert (made[0], made[3]) == (*requests,)
    for file, request in zip(files, made, strict=True):
        assert LIMITS.request(read_image_settings(Path(file)).values) == LIMITS.request(request)
    assert [Path(files[k]).read_bytes() for k in (0, 3)] == pictures
    event, _ = call_raw(instant_page, morph={**values, "frames": 2})
    assert event == "error"


def call_raw(address, **values):
    """The last event of a call with these values as JSON, NaN included, and its data."""
    called = server.post(
        f"{address}gradio_api/call/v2/generate",
        content=json.dumps(values),
        headers={"content-type": "application/json"},
    )
    called.raise_for_status()
    told = server.get(f"{address}gradio_api/call/generate/{called.json()['event_id']}").text
    event, data = told.strip().rsplit("event: ", 1)[1].split("\ndata: ", 1)
    return event, json.loads(data)


def sentence(**values):
    with pytest.raises(InvalidRequest) as refused:
        LIMITS.request(values)
    return str(refused.value)


def test_a_program_gets_images_that_carry_their_requests(client, tmp_path):
    pictures, requests, told = client.predict(prompt="a cat", images=2, seed=7, api_name="/generate")
    assert told == "Done"
    assert [request["seed"] for request in requests] == [7, 8]
    for picture, request in zip(pictures, requests, strict=True):
        assert read_image_settings(Path(picture)).values == request


def test_seed_minus_1_is_a_random_one(client):
    seeds = {client.predict(prompt="a cat", seed=-1, api_name="/generate")[1][0]["seed"] for _ in range(3)}
    assert len(seeds) > 1
    assert min(seeds) >= 0


def test_a_returned_request_generates_the_same_image(client):
    pictures, (request,), _ = client.predict(prompt="a cat", api_name="/generate")
    again, _, _ = client.predict(**request, api_name="/generate")
    assert Path(pictures[0]).read_bytes() == Path(again[0]).read_bytes()


def test_progress_is_streamed():
    pipeline, told = FakePipeline(pause=0.3), []
    pipeline.hold(0, "prior", 3)
    with serve_page(fake_context(pipeline)) as address:
        slow = Client(address, verbose=False)
        for *_, progress in slow.submit(prompt="a cat", prior_steps=3, decoder_steps=1, api_name="/generate"):
            told.append(progress)
            if progress.startswith("Prior"):
                pipeline.release()
    assert told[0] == "Waiting"
    assert any(progress.startswith("Prior") for progress in told)
    assert told[-1] == "Done"


@pytest.mark.parametrize(
    "values",
    [
        {"width": 300},
        {"width": float("nan")},
        {"width": "512"},
        {"width": 100_000, "height": 10_000},
        {"width": True},
        {"seed": -2},
        {"seed": 2**40},
        {"images": 9},
        {"images": 0},
        {"prior_steps": 1.5},
        {"prior_guidance": float("inf")},
        {"prior_schedule": "cosine"},
        {"weighting": "yes"},
        {"prompt": "x" * 100_000},
        {"prompt": "\x00"},
        {"prompt": ["a", "b"]},
        {"negative_prompt": {"path": "/etc/passwd"}},
    ],
    ids=str,
)
def test_an_invalid_value_gets_the_same_message_as_everywhere(instant_page, values):
    event, data = call_raw(instant_page, **values)
    assert event == "error"
    assert data["error"] == sentence(**values)


def test_the_next_request_works_after_an_error(instant_page):
    assert call_raw(instant_page, width=300)[0] == "error"
    assert call_raw(instant_page, width=256)[0] == "complete"


def test_an_internal_error_shows_no_details(instant_page):
    event, data = call_raw(instant_page, prompt="break")
    assert event == "error"
    assert "An internal error occurred" in data["error"]
    assert "secret" not in json.dumps(data)


def test_an_unknown_field_is_rejected_with_the_list_of_fields(instant_page):
    answer = server.post(f"{instant_page}gradio_api/call/v2/generate", json={"prompt": "a cat", "widht": 256})
    assert answer.status_code == 422
    assert "no setting 'widht'. The settings are: prompt" in answer.json()["detail"]


def test_a_client_that_does_not_read_stops_its_generation(monkeypatch):
    monkeypatch.setattr(backpressure, "READ_TIMEOUT_S", 0.5)
    pipeline = FakePipeline(pause=0.05)
    with serve_page(fake_context(pipeline)) as address:
        wish = {"prompt": "a cat", "images": 8, "prior_steps": 100, "decoder_steps": 100}
        server.post(f"{address}gradio_api/call/v2/generate", json=wish).raise_for_status()
        server.wait_until(lambda: pipeline.cancelled == 1)
