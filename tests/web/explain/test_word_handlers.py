"""Handlers of "Change one word"."""

from __future__ import annotations

from dataclasses import replace

import gradio as gr
import pytest

from tests.fakes.web import EMBEDDINGS, LIMITS, FakePipeline, FakeStageEngine
from wuerst_demo.errors import UserError
from wuerst_demo.variation import Variation
from wuerst_demo.web.explain import layout
from wuerst_demo.web.explain.runner import ExplanationSessions
from wuerst_demo.web.explain.word_handlers import (
    NO_REPORT_MESSAGE,
    SAME_PROMPT_MESSAGE,
    WordHandlers,
    plan_word_change,
)
from wuerst_demo.web.explain.word_report import render_word_report

REQUEST = LIMITS.request({"prompt": "a red cat", "seed": 7, "prior_steps": 9})
CLIENT = "a browser with a long secret name"


@pytest.fixture
def pipeline():
    return FakePipeline()


@pytest.fixture
def handlers(pipeline):
    with gr.Blocks(), gr.Tabs():
        section = layout.ExplainTab().words
    return WordHandlers(LIMITS, section, ExplanationSessions(FakeStageEngine(pipeline), render_word_report))


def test_both_requests_differ_in_the_prompt_alone_and_start_from_noise():
    varied = replace(REQUEST, variation=Variation(EMBEDDINGS, 0.0, 7))
    for request in (REQUEST, varied):
        assert plan_word_change(LIMITS, request, "a blue cat") == (REQUEST, replace(REQUEST, prompt="a blue cat"))


@pytest.mark.parametrize(
    ("reported", "typed", "said"),
    [
        (None, "a cat", NO_REPORT_MESSAGE),
        (REQUEST, " a  red cat ", SAME_PROMPT_MESSAGE),
        (REQUEST, "x" * 2001, "Prompt is 2,001 characters long; shorten it to at most 2,000."),
        (REQUEST, 7, "Prompt must be text."),
    ],
)
def test_what_cannot_be_compared_is_rejected_with_a_sentence(handlers, pipeline, reported, typed, said):
    with pytest.raises(UserError) as caught:
        plan_word_change(LIMITS, reported, typed)
    assert str(caught.value) == said
    (updates,) = handlers.compare(gr.Request(), CLIENT, "tab", typed, reported)
    assert "rejected" in updates[handlers.section.status]
    assert pipeline.requests == []


def test_both_pictures_are_generated_and_a_refreshed_page_finds_the_report(handlers, pipeline):
    section = handlers.section
    *_, shown = handlers.compare(gr.Request(), CLIENT, "tab", "a blue cat", REQUEST)
    assert [each.prompt for each in pipeline.requests] == ["a red cat", "a blue cat"]
    assert "<mark>blue</mark>" in shown[section.report]
    (again,) = handlers.load_page(gr.Request(), CLIENT, "tab")
    assert again[section.report] == shown[section.report]
    assert again[section.container].open is True
    assert list(handlers.load_page(gr.Request(), CLIENT, "other tab")) == [{section.start: gr.skip()}]
