"""Handlers of the "How it works" tab."""

from dataclasses import replace

import gradio as gr
import numpy as np
import pytest

from tests.fakes.web import EMBEDDINGS, LIMITS, FakePipeline, FakeStageEngine, fake_context
from wuerst_demo.variation import encode_image_embeddings
from wuerst_demo.web.explain import layout
from wuerst_demo.web.explain.handlers import CompositionHandlers, ExplainHandlers, update_choices
from wuerst_demo.web.explain.report import render_report
from wuerst_demo.web.explain.runner import ExplanationSessions, ExplanationView
from wuerst_demo.web.explain.word_report import render_word_report
from wuerst_demo.web.generate.layout import GenerateTab
from wuerst_demo.web.shared.generation import MIDDLE_INDEX, FinishedImage

REQUEST = LIMITS.request({"prompt": "a cat", "seed": 7})


def components():
    with gr.Blocks(), gr.Tabs():
        return layout.ExplainTab()


def handlers(pipeline, tab):
    engine = FakeStageEngine(pipeline)
    sessions = ExplanationSessions(engine, lambda results: render_report(results[0]))
    return ExplainHandlers(tab, sessions, ExplanationSessions(engine, render_word_report))


def drawn(tmp_path, seeds=(7, 8)):
    return tuple(FinishedImage(k, tmp_path / f"{k}.png", replace(REQUEST, seed=seed)) for k, seed in enumerate(seeds))


def test_one_of_the_newest_images_is_chosen_and_without_one_the_button_is_off(tmp_path):
    which, go, status = update_choices(drawn(tmp_path))
    assert which.choices == [("1: seed 7", 0), ("2: seed 8", 1)]
    assert which.visible is True
    assert go.interactive is True
    which, go, status = update_choices(drawn(tmp_path, (7,)))
    assert (which.visible, go.interactive) == (False, True)
    which, go, status = update_choices(drawn(tmp_path, (7, 8, 9)), 1)
    assert (len(which.choices), which.value) == (3, 1)  # the choice stands while others come
    assert go == status == gr.skip()
    assert update_choices(drawn(tmp_path, (7,)), 1)[0].value == 0
    around = (replace(drawn(tmp_path)[0], index=MIDDLE_INDEX), *drawn(tmp_path))  # a sheet of neighbors
    assert [label for label, _ in update_choices(around)[0].choices] == [
        "In the middle: seed 7",
        "1: seed 7",
        "2: seed 8",
    ]
    assert update_choices(drawn(tmp_path, (7,)), 1, REQUEST)[2] == gr.skip()  # a report's status stays
    which, go, status = update_choices(())
    assert go.interactive is False
    assert "No picture yet" in status


def test_the_chosen_image_is_explained_and_an_invalid_choice_is_rejected(tmp_path):
    pipeline = FakePipeline()
    tab = components()
    handler = handlers(pipeline, tab).explain
    updates = list(handler(gr.Request(), "", "", 1, drawn(tmp_path), None))
    assert pipeline.requests == [replace(REQUEST, seed=8)]
    assert "Prior, step 12 of 12" in updates[-1][tab.report]
    assert updates[-1][tab.reported_request] == replace(REQUEST, seed=8)
    assert updates[0][tab.reported_request] == updates[-1][tab.reported_request]
    for nonsense in (2, -1, "0", None, True, 0.5):
        (refused,) = handler(gr.Request(), "", "", nonsense, drawn(tmp_path), None)
        assert tab.report not in refused
    (refused,) = handler(gr.Request(), "", "", 0, (), None)
    assert "No picture yet" in refused[tab.status]


def test_opening_the_tab_explains_only_small_and_new_images(tmp_path):
    pipeline = FakePipeline()
    tab = components()
    opening = handlers(pipeline, tab).explain_new_image
    (picture,) = drawn(tmp_path, (7,))
    large = replace(picture, request=replace(REQUEST, width=1024, height=1024))
    for which, newest, before in ((None, (), None), (0, (picture,), REQUEST), (0, (large,), None)):
        assert list(opening(gr.Request(), "", "", which, newest, before)) == [{tab.start: gr.skip()}]
    assert pipeline.requests == []
    for which in (0, None):  # None: the list of pictures has not arrived at the browser yet
        assert tab.report in list(opening(gr.Request(), "", "", which, (picture,), large.request))[-1]


CLIENT = "a browser with a long secret name"


def test_a_refreshed_page_finds_its_report_and_nobody_elses(tmp_path):
    pipeline, tab = FakePipeline(), components()
    handler = handlers(pipeline, tab)
    *_, shown = handler.explain(gr.Request(), CLIENT, "tab", 0, drawn(tmp_path), None)
    (again,) = handler.load_page(gr.Request(), CLIENT, "tab")
    assert all(again[each] == shown[each] for each in (tab.status, tab.report, tab.reported_request, tab.words.prompt))
    assert again[tab.words.prompt] == "a cat"
    assert len(pipeline.requests) == 1
    for owner, name in ((CLIENT, "other tab"), ("another browser with a name", "tab"), ("", "tab")):
        assert list(handler.load_page(gr.Request(), owner, name)) == [{tab.start: gr.skip()}]


def test_a_page_that_explains_already_ignores_its_late_load_event(tmp_path):
    tab = components()
    handler = handlers(FakePipeline(), tab)
    page = gr.Request(session_hash="this page")
    list(handler.explain(page, CLIENT, "tab", 0, drawn(tmp_path), None))
    assert list(handler.load_page(page, CLIENT, "tab")) == [{tab.start: gr.skip()}]


def take(values):
    with gr.Blocks():
        with gr.Tabs() as tabs:
            generate_tab, tab = GenerateTab(fake_context()), layout.ExplainTab()
        handler = CompositionHandlers(LIMITS, tab, generate_tab, tabs)
    updates = handler.take(gr.EventData(None, {"values": values}))
    return tab, generate_tab, tabs, updates


def test_an_edited_composition_goes_to_the_generate_tab_with_its_seed():
    values = {**REQUEST.to_dict(), "variation": {"image_embeddings": EMBEDDINGS, "level": 0, "details_seed": 7}}
    _, generate_tab, tabs, updates = take(values)
    assert updates[tabs].selected == "draw"
    controls = generate_tab.controls
    assert updates[controls["variation"]] == values["variation"]
    assert (updates[controls["prompt"]], updates[controls["seed"]]) == ("a cat", 7)
    assert updates[generate_tab.new_seed] is False


NAN = encode_image_embeddings(np.full((16, 6, 6), np.nan))


@pytest.mark.parametrize(
    "values", [None, 7, "text", [], {"variation": {"image_embeddings": NAN, "level": 0}}, {"variation": "z"}]
)
def test_a_composition_that_is_none_stays_on_the_tab_and_generates_nothing(values):
    tab, generate_tab, tabs, updates = take(values)
    assert tabs not in updates
    assert "rejected" in updates[tab.status]
    assert updates[generate_tab.variation.value] is None


@pytest.mark.parametrize(
    ("state", "running"), [("waiting", True), ("running", True), ("done", False), ("failed", False)]
)
def test_only_stop_is_enabled_while_an_explanation_runs(state, running):
    tab = components()
    updates = tab.show(ExplanationView(state, ""))
    assert updates[tab.stop].interactive is running
    assert updates[tab.start].interactive is not running
