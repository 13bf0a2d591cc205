"""Report on two prompts: how far apart their latents are, and from which step on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.fakes.web import LIMITS, expected_image
from tests.web.explain.test_report import sayings, text
from wuerst_demo.events import Result, StageLatents
from wuerst_demo.web.explain.word_report import find_parting, mean_difference, measure_differences, render_word_report

REQUEST = LIMITS.request({"prompt": "a red cat", "seed": 7})


def latents(steps, channels=16, side=6, seed=0):
    return list(np.random.default_rng(seed).normal(size=(steps, channels, side, side)))


def test_a_shift_of_one_spread_is_a_difference_of_one_at_its_position_alone():
    one = latents(3)
    other = [each.copy() for each in one]
    spread = np.sqrt(one[-1].var(axis=(1, 2)).mean())
    for each in other:
        each[:, 2, 4] += spread
    maps = measure_differences(one, other)
    assert [each.shape for each in maps] == [(6, 6)] * 3
    expected = np.zeros((6, 6))
    expected[2, 4] = 1
    assert np.allclose(maps[0], expected, atol=0.02)
    assert mean_difference(maps[0]) == pytest.approx(1 / 6, rel=0.02)


def test_constant_latents_are_compared_without_a_division_by_zero():
    maps = measure_differences([np.zeros((4, 2, 2))], [np.zeros((4, 2, 2))])
    assert np.array_equal(maps[0], np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("shares", "step"),
    [((0, 0.4, 0.6, 0.7), 2), ((0.6, 0.6), 0), ((0.9, 0.4, 0.6), 2), ((0.9, 0.5), None), ((0, 0.1), None)],
)
def test_they_part_where_they_stay_apart_from_then_on(shares, step):
    assert find_parting([np.full((2, 2), each) for each in shares]) == step


def results(other="a blue cat"):
    one, two, decoder = latents(4), latents(4, seed=1), latents(2, channels=4, side=64)
    two[:2] = one[:2]
    return [
        Result(0, expected_image(request), request, stages=StageLatents(tuple(prior), tuple(decoder)))
        for request, prior in ((REQUEST, one), (replace(REQUEST, prompt=other), two))
    ]


def test_the_report_says_where_they_part_and_how_far_apart_each_step_is():
    html = render_word_report(results())
    assert "They part at step 3 of 4 of the prior" in text(html)
    assert "at 36 of 36 positions" in text(html)
    said = sayings(html)
    assert said[:2] == ["Prior, step 1 of 4: 0 % apart", "Prior, step 2 of 4: 0 % apart"]
    assert 120 < int(said[3].split()[-3]) < 160  # of two independent normal numbers: sqrt(2)
    assert said[4] == "Decoder, step 1 of 2: 0 % apart"
    assert html.count("<img") == 8
    assert all('alt="' in each for each in html.split("<img")[1:])


def test_words_that_differ_are_marked_and_prompts_are_escaped():
    html = render_word_report(results("a <b>blue</b> cat & dog"))
    assert "a <mark>red</mark> cat</h4>" in html
    assert "a <mark>&lt;b&gt;blue&lt;/b&gt;</mark> cat <mark>&amp; dog</mark></h4>" in html


def test_equal_results_never_part():
    one, _ = results()
    assert "never differ by more than 50 %" in text(render_word_report([one, one]))
    with pytest.raises(ValueError, match="no stages"):
        render_word_report([replace(one, stages=None)] * 2)
