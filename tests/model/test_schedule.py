"""Times and the update, against the stock scheduler of diffusers as the oracle."""

from __future__ import annotations

import itertools

import pytest
import torch
from diffusers import DDPMWuerstchenScheduler
from diffusers.pipelines.deprecated.wuerstchen import DEFAULT_STAGE_C_TIMESTEPS
from hypothesis import given
from hypothesis import strategies as st

from wuerst_demo.model import schedule

NETWORK_TYPES = [torch.float32, torch.float16, torch.bfloat16]


def noise(seed, *shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_two_part_with_29_evaluations_is_the_published_list():
    assert list(schedule.two_part(29)) == DEFAULT_STAGE_C_TIMESTEPS


@pytest.mark.parametrize(("evaluations", "above"), [(2, 1), (3, 2), (10, 7), (58, 38), (100, 66)])
def test_two_part_keeps_the_published_proportion(evaluations, above):
    times = schedule.two_part(evaluations)
    assert times[above] == 2 / 3
    assert abs(above / evaluations - 19 / 29) <= 0.5 / evaluations


@given(st.integers(2, 200))
def test_two_part_goes_down_from_1_to_0_with_an_evaluation_on_each_side(evaluations):
    times = schedule.two_part(evaluations)
    assert len(times) == evaluations + 1
    assert (times[0], times[-1]) == (1.0, 0.0)
    assert all(a > b for a, b in itertools.pairwise(times))
    assert 0 < times.index(2 / 3) < evaluations


@pytest.mark.parametrize("kind", ["two-part", "linear"])
def test_a_single_evaluation_goes_straight_down(kind):
    assert schedule.timesteps(kind, 1) == (1.0, 0.0)


@pytest.mark.parametrize("evaluations", [1, 2, 7, 12, 60, 100])
def test_linear_has_the_times_of_the_stock_scheduler(evaluations):
    stock = DDPMWuerstchenScheduler()
    stock.set_timesteps(evaluations)
    assert schedule.timesteps("linear", evaluations) == tuple(stock.timesteps.tolist())


def test_noise_levels_are_those_of_the_stock_scheduler():
    t = torch.linspace(1, 0, 1001)
    assert torch.equal(schedule.alpha_bar(t), DDPMWuerstchenScheduler()._alpha_cumprod(t, t.device))
    assert schedule.alpha_bar(t).min() == pytest.approx(1e-4)
    assert schedule.alpha_bar(t).max() == pytest.approx(0.9999)


@pytest.mark.parametrize("dtype", NETWORK_TYPES)
@pytest.mark.parametrize(("kind", "evaluations"), [("two-part", 29), ("linear", 12), ("linear", 1), ("two-part", 2)])
def test_every_step_equals_the_stock_schedulers(kind, evaluations, dtype):
    times = schedule.timesteps(kind, evaluations)
    lines = schedule.moves(times, dtype)
    stock = DDPMWuerstchenScheduler()
    stock.set_timesteps(timesteps=list(times))
    latents = noise(0, 1, 4, 8, 8, dtype=dtype)
    for step in range(evaluations):
        predicted, fresh = noise(step, 1, 4, 8, 8, dtype=dtype), noise(1000 + step, 1, 4, 8, 8, dtype=dtype)
        ours = schedule.denoise(latents, predicted, lines[step : step + 1], fresh)
        t = stock.timesteps[step].expand(1).to(dtype)
        theirs = stock.step(predicted, t, latents, generator=torch.Generator().manual_seed(1000 + step)).prev_sample
        assert ours.dtype == dtype
        assert torch.equal(ours, theirs)
        latents = ours


def test_rows_at_different_points_of_different_schedules_move_as_they_do_alone():
    points = [("two-part", 29, 0), ("linear", 12, 11), ("two-part", 7, 3), ("linear", 1, 0)]
    lines = torch.stack([schedule.moves(schedule.timesteps(kind, n), torch.float32)[step] for kind, n, step in points])
    latents, predicted, fresh = (noise(seed, 4, 16, 6, 6) for seed in range(3))
    together = schedule.denoise(latents, predicted, lines, fresh)
    for i in range(4):
        row = slice(i, i + 1)
        assert torch.equal(together[row], schedule.denoise(latents[row], predicted[row], lines[row], fresh[row]))


def test_the_last_step_adds_no_noise():
    lines = schedule.moves((1.0, 0.5, 0.0), torch.float32)
    assert lines[-1, -1] == 0
    assert lines[0, -1] > 0


@pytest.mark.parametrize("t", [0.9, 0.5, 0.1])
def test_the_clean_estimate_takes_away_exactly_the_noise_that_was_added(t):
    picture, added = noise(1, 2, 4, 8, 8), noise(2, 2, 4, 8, 8)
    times = torch.full((2,), t)
    noisy = DDPMWuerstchenScheduler().add_noise(picture, added, times)
    assert torch.allclose(schedule.clean(noisy, added, times), picture, atol=1e-5)
