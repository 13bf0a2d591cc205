"""Masks of the cells that are redrawn: text, mask images, lists of cells, and mistakes."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.redraw_mask import decode_mask, encode_mask, is_cell_list, mask_of_cells, mask_of_image
from wuerst_demo.request import Limits
from wuerst_demo.variation import Variation, encode_image_embeddings, redraw, vary

PART = np.zeros((6, 8), bool)
PART[1:3, 4] = True
EMBEDDINGS = encode_image_embeddings(np.ones((16, 6, 8), np.float32))


def bits(text):
    """The cells of a mask's text, row by row, as a string of 0 and 1."""
    return "".join(f"{byte:08b}" for byte in base64.b64decode(text.partition(":")[2]))


def test_a_mask_is_a_bit_for_each_cell():
    text = encode_mask(PART)
    assert text.startswith("6x8:")
    assert bits(text) == "00000000" + "00001000" * 2 + "00000000" * 3
    assert len(encode_mask(np.eye(24))) == 102


@pytest.mark.parametrize("cells", [[[1], [0, 1]], [1, 0], True, np.ones((2, 2, 2))])
def test_a_mask_has_rows_and_columns(cells):
    with pytest.raises(InvalidRequest, match="rows and columns"):
        encode_mask(cells)


@given(st.data(), st.integers(1, 9), st.integers(2, 9))
def test_a_mask_comes_back(data, height, width):
    cells = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    array = np.array(cells).reshape(height, width)
    if any(cells) and not all(cells):
        assert np.array_equal(decode_mask(encode_mask(array), (height, width)), array)
    else:
        with pytest.raises(InvalidRequest, match="covers nothing" if not any(cells) else "covers everything"):
            decode_mask(encode_mask(array), (height, width))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "damaged"),
        (7, "damaged"),
        ("", "damaged"),
        ("6x8", "damaged"),
        ("6x8:" + "A" * 2000, "damaged"),
        ("6x8:!!!!", "damaged"),
        ("6x8:A", "damaged"),
        ("6x8:AAAA", "damaged"),
        (encode_mask(PART.T), "The mask has 6 x 8 cells, the picture 8 x 6"),
        (encode_mask(np.eye(24)), "The mask has 24 x 24 cells"),
        (encode_mask(np.zeros((6, 8))), "covers nothing"),
        (encode_mask(np.ones((6, 8))), "covers everything"),
    ],
)
def test_a_mask_that_does_not_fit_is_rejected_in_one_sentence(text, reason):
    with pytest.raises(InvalidRequest, match=reason) as caught:
        Limits().request({"variation": {"image_embeddings": EMBEDDINGS, "level": 1, "mask": text or ""}})
    assert caught.value.field == "variation"
    assert str(caught.value).count(".") == 1


def test_level_zero_redraws_nothing():
    with pytest.raises(InvalidRequest, match="raise the variation's level"):
        Variation.validate(Variation(EMBEDDINGS, 0.0, None, encode_mask(PART)))


def test_a_redrawn_request_comes_back_from_its_values():
    earlier = Limits().request({"prompt": "a cat", "seed": 7})
    request = Limits().request({**redraw(vary(earlier.to_dict(), EMBEDDINGS, 1.0), encode_mask(PART)), "seed": 9})
    assert request.variation == Variation(EMBEDDINGS, 1.0, 7, encode_mask(PART))
    assert Limits().request(request.to_dict()) == request


def test_a_variation_without_a_mask_is_written_as_before():
    request = Limits().request({"variation": {"image_embeddings": EMBEDDINGS, "level": 1}})
    assert request.to_dict()["variation"].keys() == {"image_embeddings", "level", "details_seed"}


def test_a_white_area_of_an_image_is_redrawn():
    image = Image.new("RGB", (512, 384))
    image.paste("white", (256, 64, 320, 192))
    assert np.array_equal(decode_mask(mask_of_image(image, (6, 8), (1024, 768)), (6, 8)), PART)
    image.paste("white", (0, 0, 30, 64))  # less than half of a cell
    assert mask_of_image(image, (6, 8), (1024, 768)) == encode_mask(PART)


def test_an_image_of_another_shape_is_rejected():
    with pytest.raises(InvalidRequest, match="The mask is 512 x 512, the picture 1024 x 768"):
        mask_of_image(Image.new("L", (512, 512)), (6, 8), (1024, 768))


def test_cells_are_listed_by_column_and_row():
    assert is_cell_list("5,2-3")
    assert is_cell_list("5,2 5,3")
    assert not any(map(is_cell_list, ("", "mask.png", "5,2 mask.png", "5", "5,2,3")))
    assert mask_of_cells("5,2-3", (6, 8)) == mask_of_cells("5,2 5,3", (6, 8)) == encode_mask(PART)
    for cells in ("9,1", "1,7", "0,1", "1,0", "3-2,1"):
        with pytest.raises(InvalidRequest, match=f"no cell {cells}; the picture has 8 columns and 6 rows"):
            mask_of_cells(cells, (6, 8))
