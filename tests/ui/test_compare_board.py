"""What the page is told of a comparison, and what of it comes back."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from tests.ui.fakes import LIMITS, studio
from wuerst_demo.ui import axes, board, sheet
from wuerst_demo.ui.beside import offered, pictures, shown
from wuerst_demo.ui.comparing import Board, Tile
from wuerst_demo.ui.grid import plan
from wuerst_demo.ui.replies import Stand, fitted, outlook, together


def made(prompt="a {<b>cat</b>|`${dog}`}", tiles=None):
    grid = plan(LIMITS, {"prompt": prompt, "seed": 7}, ("prompt", ""), ("seed", "1, 2"))
    return Board("drawing", "", grid=grid, tiles=tiles or (Tile(),) * len(grid.cells))


def table(**changes):
    return board.table(made(**changes), LIMITS)


def done(*paths):
    return tuple(Tile("done", Path(path)) if path else Tile("failed", message="<no> picture") for path in paths)


def test_rows_and_columns_stand_under_their_labels_and_texts_are_escaped():
    told = table(tiles=done("/a.png", "", "/c.png", "/d.png"))
    assert told["columns"] == ["&lt;b&gt;cat&lt;/b&gt;", "`${dog}`"]
    assert [row["label"] for row in told["rows"]] == ["1", "2"]
    assert (told["across"], told["down"]) == ("Prompt variants", "Seed")
    assert "<b>" not in told["shared"]
    first = told["rows"][0]["cells"]
    assert first[0]["file"]["path"] == "/a.png"
    assert (first[1]["file"], first[1]["said"]) == (None, "&lt;no&gt; picture")
    assert (first[0]["width"], first[0]["height"]) == (256, 256)


def test_the_template_takes_texts_as_data_and_never_as_a_template_of_its_own():
    template = board.TEMPLATE.read_text(encoding="utf-8")
    assert "{{" not in template  # what stands there is put in first, and then run as a script
    for name in ("name", "across", "down", "shared", "columns", "rows"):
        assert f"value.{name}" in template


def test_a_board_without_a_grid_shows_no_table():
    assert board.table(Board("refused", "no"), LIMITS) is None


def test_files_that_come_back_are_told_by_their_labels():
    told = table(tiles=done("/a.png", "", "/c.png", "/d.png"))
    assert board.files(told) == [
        ("<b>cat</b>, Seed 1", "/a.png"),
        ("<b>cat</b>, Seed 2", "/c.png"),
        ("`${dog}`, Seed 2", "/d.png"),
    ]
    for nonsense in (
        None,
        "",
        [],
        {},
        {"rows": None},
        {"rows": 1},
        {"rows": [1]},
        {"rows": [{"cells": 1}]},
        {"rows": [{"cells": [3, {"file": "x"}]}]},
    ):
        assert board.files(nonsense) == []


@pytest.fixture
def serving(tmp_path, monkeypatch):
    """The path of a file of this name where the page serves files from."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    (tmp_path / "served").mkdir()

    def put(name):
        path = tmp_path / "served" / name
        path.write_bytes(b"a picture")
        return str(path)

    return put


@pytest.fixture
def gallery(serving):
    return [
        {"image": {"path": serving("x.png")}, "caption": "Seed 3"},
        {"image": {"path": serving("y.png")}, "caption": None},
    ]


@pytest.fixture
def compared(serving):
    return table(tiles=done(*(serving(f"{name}.png") for name in "abcd")))


def test_any_two_pictures_can_be_chosen_cells_and_drawn_ones(gallery, serving):
    found = pictures(gallery, table(tiles=done(serving("a.png"), "", "", serving("d.png"))))
    assert [(label, Path(path).name) for label, path in found.values()] == [
        ("<b>cat</b>, Seed 1", "a.png"),
        ("`${dog}`, Seed 2", "d.png"),
        ("Drawn: Seed 3", "x.png"),
        ("Drawn: 2", "y.png"),
    ]
    assert shown(gallery, None, "drawn 1", "drawn 0").value[0]["path"] == serving("y.png")
    assert pictures("nonsense", "nonsense") == {}


def test_a_file_that_the_page_does_not_serve_is_no_picture_whatever_a_browser_says(tmp_path, serving):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"nobody's business")
    (tmp_path / "served" / "link.png").symlink_to(secret)
    around = str(Path(serving("a.png")).parent / ".." / "secret.png")
    for path in (str(secret), around, str(tmp_path / "served" / "link.png"), "https://example.org/a.png", "a\0b", ""):
        assert pictures([{"image": {"path": path}}], table(tiles=done(path, "", "", ""))) == {}


def test_without_two_pictures_there_is_nothing_to_slide(gallery):
    empty, chosen, *_, slider = offered(True, gallery[:1], None, "cell 0", "cell 1")
    assert (empty.visible, chosen.visible, slider.visible) == (True, False, False)


def test_after_a_comparison_its_first_and_last_cell_are_chosen_and_a_new_drawing_changes_no_choice(gallery, compared):
    _, chosen, left, right, slider = offered(True, gallery, compared, "drawn 0", "drawn 1")
    assert (chosen.visible, left.value, right.value) == (True, "cell 0", "cell 3")
    assert [Path(each["path"]).name for each in slider.value] == ["a.png", "d.png"]
    _, _, left, right, _ = offered(False, gallery, compared, "cell 1", "drawn 1")
    assert (left.value, right.value) == ("cell 1", "drawn 1")
    _, _, left, right, _ = offered(False, gallery, None, "cell 1", ["nonsense"])
    assert (left.value, right.value) == ("drawn 0", "drawn 1")


def test_while_one_side_is_not_chosen_yet_the_slider_stays_as_it_is(gallery, compared):
    assert shown(gallery, compared, "cell 0", None) == shown(gallery, compared, "cell 0", "gone") == gr.skip()
    assert shown(gallery, compared, "cell 0", "cell 1").visible


def test_the_sheet_of_a_comparison_is_made_once_for_what_is_finished(tmp_path, monkeypatch):
    made_of = []
    kept = sheet.save
    monkeypatch.setattr(sheet, "save", lambda *given: made_of.append(len(given[2])) or kept(*given))
    files = [tmp_path / f"{k}.png" for k in range(4)]
    for path in files:
        Image.new("RGB", (256, 256)).save(path)
    stand = Stand(gr.Button(), gr.Button(), gr.HTML(), gr.HTML(), gr.DownloadButton(), {})

    def offered_sheet(*paths):
        return together(studio(), stand, made(tiles=done(*paths)))[stand.sheet].constructor_args["value"]

    some, again = offered_sheet(*files[:2], "", ""), offered_sheet(*files[:2], "", "")
    whole = offered_sheet(*files)
    assert some == again != whole
    assert made_of == [2, 4]
    for path in files:
        path.unlink()
    shutil.rmtree(whole.parent)
    assert together(studio(), stand, made(tiles=done(*files))) == {}  # it was let go meanwhile


def look(engine=None, **given):
    made = studio()
    if engine is not None:
        made = replace(made, engine=engine)
    asked = {"prompt": "", "variants": "a cat", "across": "seed", "across_values": "1-3", "down": "", **given}
    return outlook(made)(**{"down_values": "", **asked})


class Knowing:
    def estimate(self, request):
        return 2.0 * request.images


def test_before_anything_is_drawn_the_number_and_the_time_are_said():
    assert look(Knowing()) == "3 pictures, about 6 s"
    assert look(Knowing(), across_values="5") == "1 picture, about 2 s"
    assert look(Knowing(), across_values="1-36") == "36 pictures, about 72 s"
    assert look().startswith("3 pictures; how long that takes is known once")


def test_what_will_be_refused_is_said_before_too_and_escaped():
    assert "a comparison has at most 36 pictures" in look(across_values="1-40")
    assert "<script>" not in look(across_values="<script>")
    assert "refused" in look(across="nonsense")
    assert "refused" in look(across=["seed"])


def test_each_setting_comes_with_values_that_it_takes():
    updates, hidden = (json.loads(each) for each in re.findall(r"(\{.*\})\[name\] \?\? (\{.*\})", fitted(LIMITS))[0])
    assert set(updates) == set(axes.varied(LIMITS)) - {"prompt"}
    for name, update in updates.items():
        assert len(axes.axis(LIMITS, name, update["value"], "").values) >= 2
    assert hidden["visible"] is False
