"""Data of the comparison table, on its way to the browser and back."""

from pathlib import Path

from tests.fakes.web import LIMITS
from wuerst_demo.web.compare import table as compare_table
from wuerst_demo.web.compare.grid import plan_grid
from wuerst_demo.web.compare.runner import CellResult, ComparisonView


def made(prompt="a {<b>cat</b>|`${dog}`}", results=None):
    grid = plan_grid(LIMITS, {"prompt": prompt, "seed": 7}, ("prompt", ""), ("seed", "1, 2"))
    return ComparisonView("running", "", grid=grid, results=results or (CellResult(),) * len(grid.cells))


def table(**changes):
    return compare_table.render_table(made(**changes), LIMITS)


def done(*paths):
    return tuple(
        CellResult("done", Path(path)) if path else CellResult("failed", message="<no> picture") for path in paths
    )


def test_rows_and_columns_have_labels_and_texts_are_escaped():
    told = table(results=done("/a.png", "", "/c.png", "/d.png"))
    assert told["columns"] == ["&lt;b&gt;cat&lt;/b&gt;", "`${dog}`"]
    assert [row["label"] for row in told["rows"]] == ["1", "2"]
    assert (told["across"], told["down"]) == ("Prompt variants", "Seed")
    assert "<b>" not in told["shared"]
    first = told["rows"][0]["cells"]
    assert first[0]["file"]["path"] == "/a.png"
    assert (first[1]["file"], first[1]["message"]) == (None, "&lt;no&gt; picture")
    assert (first[0]["width"], first[0]["height"]) == (256, 256)


def test_the_template_inserts_texts_as_data_only():
    template = compare_table.TABLE_TEMPLATE
    assert "{{" not in template  # what stands there is put in first, and then run as a script
    for name in ("name", "across", "down", "shared", "columns", "rows"):
        assert f"value.{name}" in template


def test_a_view_without_a_grid_has_no_table():
    assert compare_table.render_table(ComparisonView("rejected", "no"), LIMITS) is None


def test_files_in_a_returned_table_are_listed_with_their_labels():
    told = table(results=done("/a.png", "", "/c.png", "/d.png"))
    assert compare_table.list_table_files(told) == [
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
        assert compare_table.list_table_files(nonsense) == []
