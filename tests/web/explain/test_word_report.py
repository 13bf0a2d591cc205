"""Report on two prompts: how far apart their latents are, and from which step on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.fakes.web import LIMITS, expected_image
from tests.web.explain.test_report import sayings, text
from wuerst_demo.events import Result, StageLatents
from wuerst_demo.web.explain.word_report import find_parting, measure_differences, measure_parting, render_word_report

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


def test_constant_latents_are_compared_without_a_division_by_zero():
    maps = measure_differences([np.zeros((4, 2, 2))], [np.zeros((4, 2, 2))])
    assert np.array_equal(maps[0], np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("scales", "step"),
    [((0, 0.5, 0.8, 1), 2), ((0.9, 0.3, 0.75, 1), 2), ((1, 1), 0), ((0, 1.5, 1), 2), ((0, 1.2, 1), 1), ((5, -1, 1), 2)],
)
@pytest.mark.parametrize("size", [1e-3, 1, 1e3])
def test_they_part_where_most_of_the_final_difference_is_in_place_for_good(scales, step, size):
    """Of a difference that is the final one times a known factor, 1 - |1 - factor| is in place, whatever its size."""
    one, (direction,) = latents(len(scales)), size * np.random.default_rng(9).normal(size=(1, 16, 6, 6))
    other = [each + scale * direction for each, scale in zip(one, scales, strict=True)]
    shares = measure_parting(one, other)
    assert shares == pytest.approx([max(0, 1 - abs(1 - scale)) for scale in scales], abs=1e-9)
    assert find_parting([round(each, 9) for each in shares]) == step


def test_another_difference_of_the_same_size_is_none_of_the_final_one():
    none = np.zeros((16, 6, 6))
    early, late = none.copy(), none.copy()
    early[3, 2, 2], late[8, 4, 1] = 5, 5
    shares = measure_parting([none, none, none], [early, (early + 3 * late) / 4, late])
    assert shares == pytest.approx([0, 1 - np.sqrt(2) / 4, 1])


def results(other="a blue cat"):
    one, two, decoder = latents(4), latents(4, seed=1), latents(2, channels=4, side=64)
    two[:2] = one[:2]
    return [
        Result(0, expected_image(request), request, stages=StageLatents(tuple(prior), tuple(decoder)))
        for request, prior in ((REQUEST, one), (replace(REQUEST, prompt=other), two))
    ]


def test_the_report_says_where_they_part_and_how_far_apart_each_step_is():
    html = render_word_report(results())
    assert "They part at step 4 of 4 of the prior: from there on, at least 75 %" in text(html)
    assert "In the end 36 of 36 positions" in text(html)
    assert sayings(html)[:5] == [
        *(f"Prior, step {step} of 4: 0 % of the difference" for step in (1, 2, 3)),  # at the third, another one
        "Prior, step 4 of 4: 100 % of the difference",
        "Decoder, step 1 of 2: no difference",
    ]
    assert html.count("<img") == 8
    assert all('alt="' in each for each in html.split("<img")[1:])


def test_the_place_of_the_largest_difference_is_said():
    one, other = results()
    prior = [each.copy() for each in one.stages.prior]
    prior[-1][:, 4, 1] += 9
    html = render_word_report([one, replace(other, stages=StageLatents(tuple(prior), other.stages.decoder))])
    assert "differ: in the end most at row 5, column 2" in html


def test_words_that_differ_are_marked_and_prompts_are_escaped():
    html = render_word_report(results("a <b>blue</b> cat & dog"))
    assert "a <mark>red</mark> cat</h4>" in html
    assert "a <mark>&lt;b&gt;blue&lt;/b&gt;</mark> cat <mark>&amp; dog</mark></h4>" in html


def test_equal_results_never_part():
    one, _ = results()
    assert "They never part" in text(render_word_report([one, one]))
    with pytest.raises(ValueError, match="no stages"):
        render_word_report([replace(one, stages=None)] * 2)
