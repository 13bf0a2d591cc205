"""Choice of two images for the slider."""

from pathlib import Path

import gradio as gr
import pytest

from tests.web.compare.test_table import done, table
from wuerst_demo.web.compare.image_slider import list_images, update_choices, update_slider
from wuerst_demo.web.middleware.uploads import mark_served


@pytest.fixture
def serving(tmp_path, monkeypatch):
    """The path of a file of this name where the page serves files from."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    (tmp_path / "served").mkdir()

    def put(name):
        path = tmp_path / "served" / name
        path.write_bytes(b"a picture")
        mark_served(str(path))
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
    return table(results=done(*(serving(f"{name}.png") for name in "abcd")))


def test_cells_and_generated_images_can_be_chosen(gallery, serving):
    found = list_images(gallery, table(results=done(serving("a.png"), "", "", serving("d.png"))))
    assert [(label, Path(path).name) for label, path in found.values()] == [
        ("<b>cat</b>, Seed 1", "a.png"),
        ("`${dog}`, Seed 2", "d.png"),
        ("Picture: Seed 3", "x.png"),
        ("Picture: 2", "y.png"),
    ]
    assert update_slider(gallery, None, "drawn 1", "drawn 0").value[0]["path"] == serving("y.png")
    assert list_images("nonsense", "nonsense") == {}


def test_files_that_the_page_does_not_serve_cannot_be_chosen(tmp_path, serving):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"nobody's business")
    (tmp_path / "served" / "link.png").symlink_to(secret)
    around = str(Path(serving("a.png")).parent / ".." / "secret.png")
    for path in (str(secret), around, str(tmp_path / "served" / "link.png"), "https://example.org/a.png", "a\0b", ""):
        assert list_images([{"image": {"path": path}}], table(results=done(path, "", "", ""))) == {}


def test_without_two_images_the_slider_is_hidden(gallery):
    empty, chosen, *_, slider = update_choices(True, gallery[:1], None, "cell 0", "cell 1")
    assert (empty.visible, chosen.visible, slider.visible) == (True, False, False)


def test_a_comparison_selects_its_first_and_last_cell_and_new_images_change_nothing(gallery, compared):
    _, chosen, left, right, slider = update_choices(True, gallery, compared, "drawn 0", "drawn 1")
    assert (chosen.visible, left.value, right.value) == (True, "cell 0", "cell 3")
    assert [Path(each["path"]).name for each in slider.value] == ["a.png", "d.png"]
    _, _, left, right, _ = update_choices(False, gallery, compared, "cell 1", "drawn 1")
    assert (left.value, right.value) == ("cell 1", "drawn 1")
    _, _, left, right, _ = update_choices(False, gallery, None, "cell 1", ["nonsense"])
    assert (left.value, right.value) == ("drawn 0", "drawn 1")


def test_the_slider_is_unchanged_while_one_side_is_missing(gallery, compared):
    assert (
        update_slider(gallery, compared, "cell 0", None)
        == update_slider(gallery, compared, "cell 0", "gone")
        == gr.skip()
    )
    assert update_slider(gallery, compared, "cell 0", "cell 1").visible
