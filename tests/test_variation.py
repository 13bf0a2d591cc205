"""What a request goes on from: text of image embeddings, and its validation."""

from __future__ import annotations

import base64
import json
import struct
import zlib

import numpy as np
import pytest

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.request import Limits
from wuerst_demo.variation import Variation, decode_image_embeddings, encode_image_embeddings

EMBEDDINGS = np.random.default_rng(1).standard_normal((16, 6, 6)).astype(np.float32)
TEXT = encode_image_embeddings(EMBEDDINGS)


def safetensors_text(shape, data=None, dtype="F16", name="image_embeddings"):
    """Text of a safetensors file written by hand, from its specification."""
    data = bytes(2 * int(np.prod(shape))) if data is None else data
    header = json.dumps({name: {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    return base64.b64encode(zlib.compress(struct.pack("<Q", len(header)) + header + data)).decode()


def variation(**changes):
    return {"image_embeddings": TEXT, "level": 0.5, "details_seed": 7, **changes}


def test_image_embeddings_come_back_rounded_to_half_precision():
    assert np.array_equal(decode_image_embeddings(TEXT), EMBEDDINGS.astype(np.float16))
    assert len(TEXT) < 2000


def test_image_embeddings_of_another_program_are_read():
    values = EMBEDDINGS.astype("<f2")
    assert np.array_equal(decode_image_embeddings(safetensors_text([16, 6, 6], values.tobytes())), values)


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "no base64!",
        "ä" * 20,
        "A" * 200_000,
        base64.b64encode(b"no zlib").decode(),
        base64.b64encode(zlib.compress(bytes(10**7))).decode(),
        TEXT[: len(TEXT) // 2 // 4 * 4],
        safetensors_text([16, 6]),
        safetensors_text([0, 6, 6]),
        safetensors_text([16, 6, 65]),
        safetensors_text([65, 6, 6]),
        safetensors_text([16, 6, 6], bytes(4 * 16 * 36), "F32"),
        safetensors_text([16, 6, 6], name="weights"),
        safetensors_text([16, 6, 6], bytes(3)),
    ],
)
def test_damaged_image_embeddings_are_rejected(text):
    with pytest.raises(InvalidRequest, match="composition to go on from is damaged") as caught:
        decode_image_embeddings(text)
    assert caught.value.field == "variation"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_image_embeddings_that_are_not_finite_are_rejected(value):
    array = EMBEDDINGS.copy()
    array[3, 2, 1] = value
    with pytest.raises(InvalidRequest, match="not finite"):
        decode_image_embeddings(encode_image_embeddings(array))


@pytest.mark.parametrize(
    "value",
    [
        3,
        "text",
        [],
        {},
        {"level": 0.5},
        variation(other=1),
        variation(level=-0.01),
        variation(level=1.01),
        variation(level=float("nan")),
        variation(level="0.5"),
        variation(level=True),
        variation(details_seed=-1),
        variation(details_seed=2**32),
        variation(details_seed=1.5),
        variation(details_seed=True),
    ],
)
def test_a_variation_out_of_bounds_is_rejected(value):
    with pytest.raises(InvalidRequest) as caught:
        Limits().request({"prompt": "a cat", "variation": value})
    assert caught.value.field == "variation"


@pytest.mark.parametrize("level", [0, 0.5, 1])
@pytest.mark.parametrize("details_seed", [None, 0, 2**32 - 1])
def test_a_valid_variation_is_part_of_the_request(level, details_seed):
    given = variation(level=level, details_seed=details_seed)
    request = Limits().request({"prompt": "a cat", "variation": given, "images": 3, "seed": 5})
    assert request.variation == Variation(TEXT, level, details_seed)
    assert request.image(2).variation == request.variation
    assert Limits().request({"prompt": "a cat"}).variation is None


def test_a_variation_without_details_seed_takes_the_requests():
    given = variation()
    del given["details_seed"]
    assert Variation.validate(given).details_seed is None
    assert Variation.validate(Variation(TEXT, 1.0)) == Variation(TEXT, 1.0)
