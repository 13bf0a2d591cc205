"""Behaviour of Gradio's server that is replaced, as its page sees it."""

from __future__ import annotations

import pytest
from gradio import utils
from gradio_client.utils import apply_diff

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
