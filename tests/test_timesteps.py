"""Times of a request's evaluations, and which of them are guided, against the published list and the definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from diffusers.pipelines.deprecated.wuerstchen import DEFAULT_STAGE_C_TIMESTEPS
from hypothesis import given
from hypothesis import strategies as st

from wuerst_demo.request import Limits
from wuerst_demo.timesteps import guided_evaluations, linear_timesteps, timesteps_below, two_part_timesteps


def guided(stage="prior", **values):
    return guided_evaluations(Limits().request({"decoder_guidance": 3.0, **values}), stage)


def test_two_part_with_29_evaluations_is_the_published_list():
    assert list(two_part_timesteps(29)) == DEFAULT_STAGE_C_TIMESTEPS


@pytest.mark.parametrize(("evaluations", "above"), [(2, 1), (3, 2), (10, 7), (58, 38), (100, 66)])
def test_two_part_keeps_the_published_proportion(evaluations, above):
    times = two_part_timesteps(evaluations)
    assert times[above] == 2 / 3
    assert abs(above / evaluations - 19 / 29) <= 0.5 / evaluations


@given(st.integers(2, 200))
def test_two_part_goes_down_from_1_to_0_with_an_evaluation_on_each_side(evaluations):
    times = two_part_timesteps(evaluations)
    assert len(times) == evaluations + 1
    assert (times[0], times[-1]) == (1.0, 0.0)
    assert all(a > b for a, b in itertools.pairwise(times))
    assert 0 < times.index(2 / 3) < evaluations


@pytest.mark.parametrize("evaluations", [1, 3, 12, 29, 100])
def test_times_equal_those_of_numpy(evaluations):
    assert linear_timesteps(evaluations) == tuple(np.linspace(1, 0, evaluations + 1).tolist())


def test_without_an_interval_every_evaluation_of_a_guided_network_is_guided():
    assert guided(prior_steps=7) == (True,) * 7
    assert guided("decoder", decoder_steps=3) == (True,) * 3
    assert guided(prior_steps=2, prior_guidance=1.0) == (False, False)
    assert guided("decoder", decoder_steps=2, decoder_guidance=0.5) == (False, False)
    assert guided("vqgan") == guided("text") == ()


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (0, 0.2, "G----"),  # an evaluation at the end of the interval is outside
        (0.2, 0.6, "-GG--"),  # and one at its beginning inside
        (0.6, 1, "---GG"),
        (0.21, 0.39, "-----"),
        (0.8, 0.81, "----G"),
    ],
)
def test_linear_evaluations_are_guided_where_their_time_lies_in_the_interval(begin, end, expected):
    values = {"prior_steps": 5, "prior_schedule": "linear", "decoder_steps": 5}
    for stage in ("prior", "decoder"):
        flags = guided(stage, **values, guidance_from=begin, guidance_to=end)
        assert "".join("G" if flag else "-" for flag in flags) == expected


def test_the_interval_is_one_of_time_whatever_the_schedule():
    """A third of the way holds 19 of 29 evaluations of the published list."""
    assert sum(guided(guidance_to=0.33)) == 19
    assert sum(guided(guidance_to=0.33, prior_schedule="linear")) == 10
    assert guided(guidance_from=0.34) == (False,) * 20 + (True,) * 9


def test_a_variation_takes_the_end_of_the_schedule_from_its_level():
    assert timesteps_below((1.0, 0.75, 0.5, 0.25, 0.0), 0.6) == (0.6, 0.5, 0.25, 0.0)
    assert timesteps_below((1.0, 0.5, 0.0), 1.0) == (1.0, 0.5, 0.0)
    assert timesteps_below((1.0, 0.5, 0.0), 0.5) == (0.5, 0.0)
    assert timesteps_below((1.0, 0.5, 0.0), 0.0) == (0.0,)
