"""Editor of a composition: what the script is given."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape

from tests.fakes.web import EMBEDDINGS, LIMITS, expected_image
from wuerst_demo.events import Result
from wuerst_demo.variation import Variation
from wuerst_demo.web.explain.latent_editor import render_latent_editor

REQUEST = LIMITS.request({"prompt": "a <b>cat</b> & 'dog'", "seed": 7})


def result(**changes):
    request = replace(REQUEST, **changes)
    return Result(0, expected_image(request), request, image_embeddings=EMBEDDINGS)


def data(html):
    return json.loads(unescape(re.search(r'data-editor="([^"]*)"', html)[1]))


def test_the_script_has_the_request_that_decodes_the_composition_with_its_own_details():
    values = data(render_latent_editor(result()))["values"]
    assert LIMITS.request(values) == replace(REQUEST, variation=Variation(EMBEDDINGS, 0.0, 7))


def test_the_details_of_a_variation_stay_those_it_kept():
    values = data(render_latent_editor(result(variation=Variation(EMBEDDINGS, 0.4, 99))))["values"]
    assert LIMITS.request(values).variation == Variation(EMBEDDINGS, 0.0, 99)


def test_each_map_can_be_chosen_and_has_a_text_for_screen_readers():
    html = render_latent_editor(result())
    assert len(re.findall('<input type="radio"', html)) == 16
    assert 'data-name="Map {map}, from {low} to {high}"' in html
    assert "16 maps of 6 × 6 numbers" in html
    assert data(html)["limit"] > 1


def test_the_prompt_leaves_no_html_and_without_a_composition_there_is_no_editor():
    assert "<b>" not in render_latent_editor(result())
    assert render_latent_editor(replace(result(), image_embeddings="")) == ""
