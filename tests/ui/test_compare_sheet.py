"""The labelled picture of a comparison: what stands where, and what its file says."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.ui.fakes import LIMITS, paint, studio
from wuerst_demo.metadata import MADE_BY_AI, XMP, from_png
from wuerst_demo.ui.grid import plan
from wuerst_demo.ui.lettering import Letters
from wuerst_demo.ui.sheet import GAP, LARGEST, RECORD, drawn, save, summary


def painted(grid):
    return {number: paint(cell.request) for number, cell in enumerate(grid.cells)}


def opening(pictures):
    return {number: picture.copy for number, picture in pictures.items()}


def found(sheet, picture):
    """Where `picture` stands in the sheet, pixel for pixel; its colours are its own there."""
    y, x = map(int, np.argwhere((np.asarray(sheet) == picture.getpixel((0, 0))).all(axis=2))[0])
    assert sheet.crop((x, y, x + picture.width, y + picture.height)).tobytes() == picture.tobytes()
    return x, y


def test_every_picture_stands_unchanged_in_its_column_and_row():
    grid = plan(LIMITS, {"prompt": "a cat"}, ("seed", "1, 2, 3"), ("prior_steps", "5, 10"))
    pictures = {k: Image.new("RGB", (256, 256), (40 * k + 9, 90, 200)) for k in range(6)}
    sheet = drawn(grid, opening(pictures), LIMITS)
    places = [found(sheet, pictures[k]) for k in range(6)]
    left, top = places[0]
    assert places == [(left + column * (256 + GAP), top + row * (256 + GAP)) for row in range(2) for column in range(3)]


def test_sizes_that_differ_do_not_overlap():
    grid = plan(LIMITS, {"prompt": "a {cat|dog}"}, ("size", "256, 512x256, 256x384"), ("prompt", ""))
    pictures = {
        k: Image.new("RGB", (cell.request.width, cell.request.height), (30 * k + 9, 90, 200))
        for k, cell in enumerate(grid.cells)
    }
    sheet = drawn(grid, opening(pictures), LIMITS)
    for picture in pictures.values():
        found(sheet, picture)


def test_a_label_more_makes_another_picture_and_one_axis_needs_less_room():
    one = plan(LIMITS, {"prompt": "a cat", "seed": 1}, ("seed", "1, 2"), ("", ""))
    other = plan(LIMITS, {"prompt": "a cat", "seed": 1}, ("seed", "1, 3"), ("", ""))
    down = plan(LIMITS, {"prompt": "a cat", "seed": 1}, ("seed", "1, 2"), ("prior_steps", "12"))
    sheets = [drawn(grid, {}, LIMITS) for grid in (one, other, down)]
    assert sheets[0].size == sheets[1].size
    assert sheets[0].tobytes() != sheets[1].tobytes()
    assert sheets[2].width > sheets[0].width


def test_a_comparison_that_would_be_huge_is_made_smaller_as_a_whole():
    limits = LIMITS.narrow(width={"most": 2048, "least": 128}, height={"most": 2048, "least": 128})
    grid = plan(limits, {"prompt": "a cat", "width": 2048, "height": 128}, ("seed", "1-6"), ("", ""))
    sheet = drawn(grid, opening({k: Image.new("RGB", (2048, 128), "blue") for k in range(6)}), limits)
    assert sheet.width <= LARGEST + 8 * GAP


def test_the_file_brings_back_the_shared_request_says_both_axes_and_that_a_model_made_it(tmp_path):
    grid = plan(LIMITS, {"prompt": "a {cat|öwl}", "seed": 7}, ("prompt", ""), ("prior_steps", "5, 10"))
    cells = tmp_path / "cells"
    cells.mkdir()
    files = {}
    for number, picture in painted(grid).items():
        files[number] = cells / f"{number}.png"
        picture.save(files[number])
    path = save(studio(), grid, files, tmp_path)
    assert path.name.startswith("comparison-")
    assert [each.name for each in tmp_path.glob("*.png")] == [path.name]
    assert LIMITS.request(from_png(path).values) == grid.base
    with Image.open(path) as sheet:
        sheet.load()
        assert json.loads(sheet.text[RECORD]) == {
            "across": {"setting": "prompt", "values": ["cat", "öwl"]},
            "down": {"setting": "prior_steps", "values": ["5", "10"]},
        }
        assert MADE_BY_AI in sheet.text[XMP]


def test_what_the_cells_share_is_said_and_what_varies_is_not():
    grid = plan(LIMITS, {"prompt": "a cat", "seed": 7}, ("prior_steps", "5, 10"), ("size", "256"))
    said = summary(grid, LIMITS)
    assert said.startswith("a cat / ")
    assert "Seed 7" in said
    assert "Decoder steps 6" in said
    for varied in ("Prior steps", "Width", "Height", "Pictures", "Negative prompt"):
        assert varied not in said


@pytest.mark.parametrize("fonts", [("DejaVuSans.ttf",), ()])
def test_words_are_wrapped_to_their_width_and_end_in_dots_where_there_is_no_room(fonts):
    letters = Letters.of(20, fonts)
    lines = letters.wrapped("one two three four five six seven " + "e" * 200, 160, 3)
    assert len(lines) == 3
    assert lines[0].startswith("one two")
    assert lines[2].endswith("...")
    assert all(letters.face.getlength(line) <= 160 for line in lines)
    assert letters.wrapped("one\ntwo", 400, 3) == ("one two",)


def test_letters_that_end_with_ascii_write_what_they_can():
    letters = Letters.of(20, ())
    assert letters.legible("256 × 384, Würstchen, 猫") == "256 x 384, Wurstchen, ?"
