"""The request for a morph: its frames' own requests, and its validation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.request import Limits, MorphEnd, morph
from wuerst_demo.variation import encode_image_embeddings, vary


def embeddings(*shape, value=1):
    return encode_image_embeddings(np.full(shape, value, np.float32))


ONE, OTHER = embeddings(16, 6, 6), embeddings(16, 6, 6, value=2)
FIRST = Limits().request({"prompt": "a cat", "seed": 7, "decoder_steps": 4, "width": 256, "height": 256})
LAST = Limits().request({"prompt": "a dog", "seed": 9, "decoder_steps": 8, "width": 256, "height": 256})


def make_morph(frames=5, first=FIRST, last=LAST, one=ONE, other=OTHER):
    return Limits().request(morph((first.to_dict(), one), (last.to_dict(), other), frames))


def test_the_ends_of_a_morph_are_the_requests_of_its_pictures():
    request = make_morph()
    assert request.images == 5
    assert request.image(0) == FIRST
    assert request.image(4) == LAST


def test_a_frame_has_the_settings_of_the_nearer_picture():
    request = make_morph()
    frames = [request.image(k) for k in (1, 2, 3)]
    assert [(each.prompt, each.seed, each.decoder_steps) for each in frames] == [
        ("a cat", 7, 4),
        ("a cat", 7, 4),
        ("a dog", 9, 8),
    ]
    assert [each.images for each in frames] == [1, 1, 1]
    assert [each.morph.share for each in frames] == [0.25, 0.5, 0.75]
    assert {each.morph.first for each in frames} == {MorphEnd(FIRST, ONE)}


@pytest.mark.parametrize("frames", [3, 16])
def test_a_morph_and_each_of_its_frames_come_back_from_json(frames):
    request = make_morph(frames)
    for each in (request, *(request.image(k) for k in range(frames))):
        assert Limits().request(json.loads(json.dumps(each.to_dict()))) == each
        assert Limits().request(each.to_dict()).image(0) in (each, FIRST)


def test_a_variation_can_be_the_end_of_a_morph():
    varied = Limits().request(vary(FIRST.to_dict(), ONE, 0.5))
    request = make_morph(first=varied)
    assert request.image(0) == varied
    assert (request.variation, request.image(1).variation) == (None, None)


def test_a_frame_can_be_varied():
    frame = make_morph().image(3)
    varied = Limits().request({**vary(frame.to_dict(), OTHER, 0.5), "seed": 1})
    assert varied.morph is None
    assert (varied.prompt, varied.variation.details_seed) == ("a dog", 9)


def test_a_morph_has_the_settings_of_its_pictures_whatever_the_others_are():
    values = make_morph().to_dict() | {"prompt": "a cow", "images": 2, "seed": 3}
    assert Limits().request(values) == make_morph()


@pytest.mark.parametrize("frames", [2, 17, 0, -3, 5.0, "5", True, None, float("nan")])
def test_a_number_of_frames_out_of_bounds_is_rejected(frames):
    with pytest.raises(InvalidRequest, match="3 to 16 frames") as caught:
        make_morph(frames)
    assert caught.value.field == "morph"


def change(**changes):
    return {**make_morph().to_dict()["morph"], **changes}


def end(**changes):
    return {"request": FIRST.to_dict(), "image_embeddings": ONE, **changes}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (3, "must be an object"),
        ({"first": end()}, "must be an object"),
        (change(other=1), "must be an object"),
        (change(first=None), "must be an object"),
        (change(first=end(more=1)), "must be an object"),
        (change(first=end(request=7)), "must be an object"),
        (change(first=end(request={"prompt": "a cat"})), "must be an object"),
        (change(first=end(request={**FIRST.to_dict(), "seed": -1})), "must be an object"),
        (change(first=end(request={**FIRST.to_dict(), "prior_steps": 0})), "Prior steps"),
        (change(first=end(request=make_morph().image(1).to_dict())), "two pictures already.* vary it"),
        (change(last=end(image_embeddings="nonsense")), "damaged"),
        (change(last=end(image_embeddings=None)), "damaged"),
        (change(last=end(image_embeddings=embeddings(16, 6, 6, value=np.nan))), "not finite"),
        (change(last=end(image_embeddings=embeddings(8, 6, 6))), "different kinds of checkpoints"),
        (change(last=end(request={**FIRST.to_dict(), "width": 512})), "different sizes, 256 x 256 and 512 x 256"),
        (change(frame=0), "between its ends"),
        (change(frame=4), "between its ends"),
        (change(frame=1.0), "between its ends"),
        (change(frame=True), "between its ends"),
    ],
)
def test_a_morph_that_makes_no_sense_is_rejected(value, reason):
    with pytest.raises(InvalidRequest, match=reason):
        Limits().request({"morph": value})


def test_a_request_without_a_morph_has_none():
    assert Limits().request({"seed": 1, "morph": None}).morph is None
    assert "morph" not in FIRST.to_dict()
