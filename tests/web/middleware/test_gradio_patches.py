"""Behaviour of Gradio's server that is replaced, as its page sees it."""

from __future__ import annotations

import json

import gradio as gr
import pytest
from gradio import utils
from gradio_client.utils import apply_diff

from tests.fakes.server import free_port, get, post
from wuerst_demo.web.middleware.gradio_patches import patch_gradio

TABLE = {"name": "The comparison", "rows": [{"label": "1", "cells": []}]}
UPDATE = {"__type__": "update", "props": {"__type__": "update"}}


@pytest.mark.parametrize(("old", "new"), [(TABLE, UPDATE), (UPDATE, TABLE)])
def test_an_update_beside_a_value_leaves_the_old_one_as_it_was(old, new):
    patch_gradio()
    edits = utils.diff(old, new)
    assert apply_diff(old, edits) == new
    assert [path for _, path, _ in edits] == [[]]  # the page applies deeper edits in place


def test_a_value_after_a_value_is_still_sent_as_what_differs():
    patch_gradio()
    assert utils.diff(TABLE, {**TABLE, "name": "Next"}) == [["replace", ["name"], "Next"]]


def answers(visibility):
    """The messages that a page gets of an event with two answers: kind and data."""
    patch_gradio()

    def count():
        yield "one"
        yield "two"

    with gr.Blocks() as blocks:
        shown = gr.Textbox()
        gr.Button().click(count, None, shown, api_visibility=visibility)
    _, address, _ = blocks.launch(
        server_name="127.0.0.1", server_port=free_port(), prevent_thread_lock=True, quiet=True, ssr_mode=False
    )
    try:
        call = {"data": [], "fn_index": 0, "session_hash": "page"}
        assert post(f"{address}gradio_api/queue/join", json=call).status_code == 200
        stream = get(f"{address}gradio_api/queue/data", params={"session_hash": "page"}).text
    finally:
        blocks.close(verbose=False)
    messages = [json.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line.startswith("data: ")]
    return [(each["msg"], each["output"]["data"]) for each in messages if "output" in each]


def test_the_end_of_an_event_of_the_page_repeats_no_answer():
    generating, ended = "process_generating", "process_completed"
    *streamed, (end, repeated) = answers("private")
    assert streamed == [(generating, ["one"]), (generating, [[["replace", [], "two"]]])]
    assert (end, repeated) == (ended, [gr.skip()])
    assert answers("public") == [*streamed, (ended, ["two"])]
