"""Handlers of the Compare tab."""

import json
import re
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from tests.fakes.server import run_async
from tests.fakes.web import LIMITS, fake_context
from wuerst_demo.web.compare import axes, layout
from wuerst_demo.web.compare.handlers import CompareHandlers, axis_values_js
from wuerst_demo.web.compare.sessions import ComparisonSessions


@pytest.fixture
def tab():
    with gr.Blocks(), gr.Tabs():
        return layout.CompareTab(LIMITS)


def compare_handlers(tab, context=None):
    context = context or fake_context()
    return CompareHandlers(context, tab, ComparisonSessions(context))


REQUEST = gr.Request(session_hash="page 1")
CLIENT = "a secret of the browser", "tab"
INPUTS = {"prompt": "", "variants": "a {cat|dog}", "across": "prompt", "across_values": "", "down": ""}


def test_a_comparison_fills_the_table_and_ends_with_a_contact_sheet(tab):
    compare = compare_handlers(tab).compare
    *running, last = compare(REQUEST, *CLIENT, **INPUTS, down_values="")
    assert all(updates[tab.stop].interactive for updates in running)
    assert (last[tab.start].interactive, last[tab.stop].interactive) == (False, False)
    assert running[0][tab.contact_sheet].interactive is False
    assert last[tab.contact_sheet].interactive is True
    tables = [updates[tab.table] for updates in running if tab.table in updates]
    cells = tables[-1]["rows"][0]["cells"]
    assert [cell["state"] for cell in cells] == ["done", "done"]
    assert all(Path(cell["file"]["path"]).is_relative_to(tab.table.GRADIO_CACHE) for cell in cells)


def test_a_rejected_comparison_leaves_the_last_table_on_the_page(tab):
    compare = compare_handlers(tab).compare
    (updates,) = compare(REQUEST, *CLIENT, **{**INPUTS, "across": ""}, down_values="")
    assert "Nothing varies" in updates[tab.status]
    assert tab.table not in updates


def test_a_loaded_page_resumes_its_comparison_with_its_fields(tab):
    own = compare_handlers(tab)
    load = own.load_page
    assert list(load(REQUEST, *CLIENT)) == [{tab.start: gr.skip()}]
    list(own.compare(REQUEST, *CLIENT, **INPUTS, down_values=""))
    assert list(load(REQUEST, *CLIENT)) == [{tab.start: gr.skip()}]  # the page that submitted it
    (updates,) = load(gr.Request(session_hash="page 2"), *CLIENT)
    assert (updates[tab.prompt], updates[tab.across.name], updates[tab.down.name]) == ("a {cat|dog}", "prompt", "")
    assert "2 pictures in" in updates[tab.status]


def look(engine=None, **given):
    made = fake_context()
    if engine is not None:
        made = replace(made, engine=engine)
    asked = {"prompt": "", "variants": "a cat", "across": "seed", "across_values": "1-3", "down": "", **given}
    return run_async(compare_handlers(None, made).estimate(REQUEST, **{"down_values": "", **asked}))


class Knowing:
    def estimate(self, request):
        return 2.0 * request.images


def test_the_estimate_announces_the_number_of_images_and_the_time():
    assert look(Knowing()) == "3 pictures, about 6 s"
    assert look(Knowing(), across_values="5") == "1 picture, about 2 s"
    assert look(Knowing(), across_values="1-36") == "36 pictures, about 70 s"
    assert look().startswith("3 pictures; the first one shows how long it takes")


def test_the_estimate_reports_rejections_escaped():
    assert "a comparison has at most 36 pictures" in look(across_values="1-40")
    assert "<script>" not in look(across_values="<script>")
    assert "rejected" in look(across="nonsense")
    assert "rejected" in look(across=["seed"])


def test_each_axis_has_valid_default_values():
    updates, hidden = (
        json.loads(each) for each in re.findall(r"(\{.*\})\[name\] \?\? (\{.*\})", axis_values_js(LIMITS))[0]
    )
    assert set(updates) == set(axes.list_axes(LIMITS)) - {"prompt"}
    for name, update in updates.items():
        assert len(axes.parse_axis(LIMITS, name, update["value"], "").values) >= 2
    assert hidden["visible"] is False
