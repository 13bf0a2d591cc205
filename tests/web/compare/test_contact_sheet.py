"""Contact sheet: position and pixels of every image, labels, and the file's metadata."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.fakes.web import LIMITS, expected_image, fake_context
from wuerst_demo.images.metadata import AI_SOURCE_TYPE, XMP_KEYWORD, read_image_settings
from wuerst_demo.web.compare.contact_sheet import (
    COMPARISON_TEXT_KEY,
    GAP_PX,
    MAX_SHEET_SIDE_PX,
    render_contact_sheet,
    save_contact_sheet,
    summarize_grid,
)
from wuerst_demo.web.compare.fonts import Font
from wuerst_demo.web.compare.grid import plan_grid


def painted(grid):
    return {number: expected_image(cell.request) for number, cell in enumerate(grid.cells)}


def opening(pictures):
    return {number: picture.copy for number, picture in pictures.items()}


def found(sheet, picture):
    """Position of `picture` in the sheet, pixel for pixel; its colours occur nowhere else."""
    y, x = map(int, np.argwhere((np.asarray(sheet) == picture.getpixel((0, 0))).all(axis=2))[0])
    assert sheet.crop((x, y, x + picture.width, y + picture.height)).tobytes() == picture.tobytes()
    return x, y


def test_every_image_is_pasted_unchanged_at_its_column_and_row():
    grid = plan_grid(LIMITS, {"prompt": "a cat"}, ("seed", "1, 2, 3"), ("prior_steps", "5, 10"))
    pictures = {k: Image.new("RGB", (256, 256), (40 * k + 9, 90, 200)) for k in range(6)}
    sheet = render_contact_sheet(grid, opening(pictures), LIMITS)
    places = [found(sheet, pictures[k]) for k in range(6)]
    left, top = places[0]
    assert places == [
        (left + column * (256 + GAP_PX), top + row * (256 + GAP_PX)) for row in range(2) for column in range(3)
    ]


def test_images_of_different_sizes_do_not_overlap():
    grid = plan_grid(LIMITS, {"prompt": "a {cat|dog}"}, ("size", "256, 512x256, 256x384"), ("prompt", ""))
    pictures = {
        k: Image.new("RGB", (cell.request.width, cell.request.height), (30 * k + 9, 90, 200))
        for k, cell in enumerate(grid.cells)
    }
    sheet = render_contact_sheet(grid, opening(pictures), LIMITS)
    for picture in pictures.values():
        found(sheet, picture)


def test_labels_change_the_sheet_and_one_axis_needs_less_space():
    one = plan_grid(LIMITS, {"prompt": "a cat", "seed": 1}, ("seed", "1, 2"), ("", ""))
    other = plan_grid(LIMITS, {"prompt": "a cat", "seed": 1}, ("seed", "1, 3"), ("", ""))
    down = plan_grid(LIMITS, {"prompt": "a cat", "seed": 1}, ("seed", "1, 2"), ("prior_steps", "12"))
    sheets = [render_contact_sheet(grid, {}, LIMITS) for grid in (one, other, down)]
    assert sheets[0].size == sheets[1].size
    assert sheets[0].tobytes() != sheets[1].tobytes()
    assert sheets[2].width > sheets[0].width


def test_a_large_comparison_is_scaled_down_as_a_whole():
    limits = LIMITS.narrow(width={"most": 2048, "least": 128}, height={"most": 2048, "least": 128})
    grid = plan_grid(limits, {"prompt": "a cat", "width": 2048, "height": 128}, ("seed", "1-6"), ("", ""))
    sheet = render_contact_sheet(grid, opening({k: Image.new("RGB", (2048, 128), "blue") for k in range(6)}), limits)
    assert sheet.width <= MAX_SHEET_SIDE_PX + 8 * GAP_PX


ROOMY = LIMITS.narrow(width={"least": 128, "most": 2048}, height={"least": 128, "most": 2048})


@pytest.mark.parametrize(
    ("side", "font_px", "margin"),
    [(128, 14, 7 * 14), (256, 18, 128), (512, 36, 256), (1024, 40, 512), (2048, 40, 16 * 40)],
)
def test_letters_are_a_14th_of_a_column_within_bounds_and_leave_room_for_labels(side, font_px, margin):
    grid = plan_grid(ROOMY, {"prompt": "a cat", "width": side, "height": 128}, ("seed", "1"), ("prior_steps", "5"))
    picture = Image.new("RGB", (side, 128), "blue")
    sheet = render_contact_sheet(grid, opening({0: picture}), ROOMY)
    line = font_px * 5 // 4
    x, y = found(sheet, picture)
    assert (x, y) == (GAP_PX + margin, 2 * GAP_PX + 3 * line)  # two titles and a label are above it
    assert sheet.width == max(x + side + GAP_PX, 320)
    assert (sheet.height - (y + 128) - 2 * GAP_PX) % (max(12, font_px * 3 // 4) * 5 // 4) == 0


@pytest.mark.parametrize(("columns", "width"), [(2, 2048), (3, 1365), (4, 1024)])
def test_cells_keep_their_size_up_to_the_largest_sheet(columns, width):
    values = {"prompt": "a cat", "width": 2048, "height": 128}
    grid = plan_grid(ROOMY, values, ("seed", f"1-{columns}"), ("", ""))
    sheet = render_contact_sheet(grid, opening({0: Image.new("RGB", (2048, 128), "blue")}), ROOMY)
    assert (np.asarray(sheet) == (0, 0, 255)).all(2).sum(1).max() == width


def ink(sheet, left, top, right, bottom):
    """Bounds of what is written in a part of the sheet: left, top, right, bottom."""
    ys, xs = np.nonzero((np.asarray(sheet)[top:bottom, left:right] != 255).any(2))
    return left + xs.min(), top + ys.min(), left + xs.max() + 1, top + ys.max() + 1


def test_labels_are_centred_over_columns_and_beside_rows_and_titles_begin_at_the_left():
    grid = plan_grid(LIMITS, {"prompt": "a cat"}, ("seed", "101, 202"), ("prior_steps", "5, 10"))
    pictures = {k: Image.new("RGB", (256, 256), (40 * k + 9, 90, 200)) for k in range(4)}
    sheet = render_contact_sheet(grid, opening(pictures), LIMITS)
    (left, top), line = found(sheet, pictures[0]), 22
    for column in range(2):
        x = left + column * (256 + GAP_PX)
        box = ink(sheet, x, top - line - GAP_PX // 2, x + 256, top)
        assert (box[0] + box[2]) / 2 == pytest.approx(x + 128, abs=2)
        assert box[3] <= top - GAP_PX // 2
    for row in range(2):
        y = top + row * (256 + GAP_PX)
        box = ink(sheet, 0, y, left, y + 256)
        assert (box[1] + box[3]) / 2 == pytest.approx(y + 128, abs=4)
        assert GAP_PX <= box[0] <= GAP_PX + 3
    titles = ink(sheet, 0, 0, sheet.width, GAP_PX + 2 * line)
    assert titles[0] == pytest.approx(GAP_PX, abs=3)
    assert GAP_PX <= titles[1] <= GAP_PX + line // 2
    footer = ink(sheet, 0, top + 2 * 256 + GAP_PX, sheet.width, sheet.height)
    assert footer[0] == pytest.approx(GAP_PX, abs=3)
    assert footer[3] <= sheet.height - GAP_PX


def test_an_unfinished_cell_is_a_frame_of_two_pixels():
    grid = plan_grid(LIMITS, {"prompt": "a cat"}, ("seed", "1, 2"), ("", ""))
    picture = Image.new("RGB", (256, 256), "blue")
    sheet = render_contact_sheet(grid, opening({0: picture}), LIMITS)
    x, y = found(sheet, picture)
    frame = np.asarray(sheet)[y : y + 256, x + 256 + GAP_PX : x + 2 * 256 + GAP_PX]
    drawn = (frame != 255).any(2)
    assert drawn[:2].all()
    assert drawn[-2:].all()
    assert drawn[:, :2].all()
    assert drawn[:, -2:].all()
    assert not drawn[2:-2, 2:-2].any()
    assert not (np.asarray(sheet)[y : y + 256, x + 2 * 256 + GAP_PX :] != 255).any()


def test_a_smaller_picture_is_centred_in_its_cell():
    grid = plan_grid(LIMITS, {"prompt": "a cat"}, ("size", "512x256, 256x512"), ("", ""))
    pictures = [Image.new("RGB", size, color) for size, color in (((512, 256), "blue"), ((256, 512), "red"))]
    sheet = render_contact_sheet(grid, opening(dict(enumerate(pictures))), LIMITS)
    (_, wide), (_, tall) = (found(sheet, picture) for picture in pictures)
    assert wide == tall + 128


def test_the_file_carries_the_shared_request_both_axes_and_the_ai_mark(tmp_path):
    grid = plan_grid(LIMITS, {"prompt": "a {cat|öwl}", "seed": 7}, ("prompt", ""), ("prior_steps", "5, 10"))
    cells = tmp_path / "cells"
    cells.mkdir()
    files = {}
    for number, picture in painted(grid).items():
        files[number] = cells / f"{number}.png"
        picture.save(files[number])
    path = save_contact_sheet(grid, files, tmp_path, LIMITS, fake_context().save_image)
    assert path.name.startswith("comparison-")
    assert [each.name for each in tmp_path.glob("*.png")] == [path.name]
    assert LIMITS.request(read_image_settings(path).values) == grid.base
    with Image.open(path) as sheet:
        sheet.load()
        assert json.loads(sheet.text[COMPARISON_TEXT_KEY]) == {
            "across": {"setting": "prompt", "values": ["cat", "öwl"]},
            "down": {"setting": "prior_steps", "values": ["5", "10"]},
        }
        assert AI_SOURCE_TYPE in sheet.text[XMP_KEYWORD]


def test_the_summary_has_shared_settings_and_no_varying_ones():
    grid = plan_grid(LIMITS, {"prompt": "a cat", "seed": 7}, ("prior_steps", "5, 10"), ("size", "256"))
    said = summarize_grid(grid, LIMITS)
    assert said.startswith("a cat / ")
    assert "Seed 7" in said
    assert "Decoder steps 6" in said
    for varied in ("Prior steps", "Width", "Height", "Pictures", "Negative prompt"):
        assert varied not in said


def test_the_summary_begins_with_the_prompt_unless_each_cell_has_its_own():
    for prompt, begin in (("a cat", "a cat / "), ("", "(no prompt) / ")):
        assert summarize_grid(plan_grid(LIMITS, {"prompt": prompt}, ("seed", "1"), ("", "")), LIMITS).startswith(begin)
    for axes in ((("prompts", "a cat"), ("", "")), (("seed", "1"), ("prompts", "a cat"))):
        assert "cat" not in summarize_grid(plan_grid(LIMITS, {"prompt": "a cat"}, *axes), LIMITS)


@pytest.mark.parametrize("fonts", [("DejaVuSans.ttf",), ()])
def test_text_is_wrapped_and_ends_in_dots_where_it_does_not_fit(fonts):
    font = Font.of(20, fonts)
    lines = font.wrap("one two three four five six seven " + "e" * 200, 160, 3)
    assert len(lines) == 3
    assert lines[0].startswith("one two")
    assert lines[2].endswith("...")
    assert all(font.face.getlength(line) <= 160 for line in lines)
    assert font.wrap("one\ntwo", 400, 3) == ("one two",)


def test_an_ascii_font_replaces_characters_it_lacks():
    font = Font.of(20, ())
    assert font.encode("256 × 384, Würstchen, 猫") == "256 x 384, Wurstchen, ?"
