"""Handlers of "Guidance and steps"."""

from dataclasses import replace

import gradio as gr
import pytest

from tests.fakes.web import EMBEDDINGS, LIMITS, FakePipeline, fake_context
from wuerst_demo.variation import vary
from wuerst_demo.web.compare.grid import plan_grid
from wuerst_demo.web.compare.sessions import ComparisonSessions
from wuerst_demo.web.explain.guidance_handlers import GuidanceHandlers, plan_sheet
from wuerst_demo.web.explain.layout import GuidanceSection

REQUEST = LIMITS.request({"prompt": "a cat", "seed": 7})
CLIENT = "a browser with a long secret name", "tab"


@pytest.fixture
def section():
    with gr.Blocks():
        return GuidanceSection()


def handlers(section, pipeline=None):
    context = fake_context(pipeline or FakePipeline())
    return GuidanceHandlers(context, section, ComparisonSessions(context))


def test_the_sheet_of_a_picture_varies_guidance_and_steps_within_the_limits():
    sheet = plan_sheet(LIMITS, REQUEST)
    assert sheet.across == ("prior_guidance", "1, 2, 4, 8")
    assert sheet.down == ("prior_steps", "3, 6, 12, 24")
    grid = plan_grid(LIMITS, sheet.values, sheet.across, sheet.down)
    assert {cell.request.seed for cell in grid.cells} == {7}
    narrow = LIMITS.narrow(prior_guidance={"most": 3}, prior_steps={"most": 12})
    sheet = plan_sheet(narrow, replace(REQUEST, prior_steps=1))
    assert (sheet.across[1], sheet.down[1]) == ("1, 2, 3", "1, 2")


def test_a_sheet_without_an_explained_picture_says_so(section):
    (updates,) = handlers(section).compare(gr.Request(), *CLIENT, None)
    assert "Show how a picture was made first" in updates[section.status]


def test_a_varied_picture_is_drawn_from_noise_with_each_value(section):
    pipeline = FakePipeline()
    varied = LIMITS.request(vary(REQUEST.to_dict(), EMBEDDINGS, 0))
    *_, last = handlers(section, pipeline).compare(gr.Request(), *CLIENT, varied)
    assert "16 pictures in" in last[section.status]
    assert {(each.prior_guidance, each.prior_steps) for each in pipeline.requests} == {
        (guidance, steps) for guidance in (1, 2, 4, 8) for steps in (3, 6, 12, 24)
    }
    assert {each.variation for each in pipeline.requests} == {None}


def test_a_refreshed_page_finds_its_sheet_unfolded(section):
    handler = handlers(section)
    assert list(handler.load_page(gr.Request(), *CLIENT)) == [{section.start: gr.skip()}]
    list(handler.compare(gr.Request(session_hash="page 1"), *CLIENT, REQUEST))
    assert list(handler.load_page(gr.Request(session_hash="page 1"), *CLIENT)) == [{section.start: gr.skip()}]
    (updates,) = handler.load_page(gr.Request(session_hash="page 2"), *CLIENT)
    assert updates[section.container].open is True
    assert "16 pictures in" in updates[section.status]
    assert updates[section.start].interactive is True
    assert len(updates[section.table]["rows"]) == 4
