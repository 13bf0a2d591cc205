"""Times and the update, against the stock scheduler of diffusers as the oracle."""

from __future__ import annotations

import itertools

import pytest
import torch
from diffusers import DDPMWuerstchenScheduler

from wuerst_demo.pipeline import noise_schedule


def noise(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["two-part", "linear"])
def test_a_single_evaluation_goes_from_1_to_0(kind):
    assert noise_schedule.timesteps(kind, 1) == (1.0, 0.0)


@pytest.mark.parametrize("evaluations", [1, 2, 7, 12, 60, 100])
def test_linear_times_equal_those_of_the_stock_scheduler(evaluations):
    stock = DDPMWuerstchenScheduler()
    stock.set_timesteps(evaluations)
    assert noise_schedule.timesteps("linear", evaluations) == tuple(stock.timesteps.tolist())


def test_alpha_bar_equals_that_of_the_stock_scheduler():
    t = torch.linspace(1, 0, 1001)
    assert torch.equal(noise_schedule.alpha_bar(t), DDPMWuerstchenScheduler()._alpha_cumprod(t, t.device))
    assert noise_schedule.alpha_bar(t).min() == pytest.approx(1e-4)
    assert noise_schedule.alpha_bar(t).max() == pytest.approx(0.9999)


@pytest.mark.parametrize(("kind", "evaluations"), [("two-part", 29), ("linear", 12), ("linear", 1), ("two-part", 2)])
def test_every_step_equals_that_of_the_stock_scheduler(kind, evaluations):
    times = noise_schedule.timesteps(kind, evaluations)
    lines = noise_schedule.step_coefficients(times)
    stock = DDPMWuerstchenScheduler()
    stock.set_timesteps(timesteps=list(times))
    latents = noise(0, 1, 4, 8, 8)
    for step in range(evaluations):
        predicted, fresh = noise(step, 1, 4, 8, 8), noise(1000 + step, 1, 4, 8, 8)
        ours = noise_schedule.denoising_step(latents, predicted, lines[step : step + 1], fresh)
        t = stock.timesteps[step].expand(1)
        theirs = stock.step(predicted, t, latents, generator=torch.Generator().manual_seed(1000 + step)).prev_sample
        assert torch.equal(ours, theirs)
        latents = ours


def test_images_at_different_times_step_as_they_do_alone():
    points = [("two-part", 29, 0), ("linear", 12, 11), ("two-part", 7, 3), ("linear", 1, 0)]
    lines = torch.stack(
        [noise_schedule.step_coefficients(noise_schedule.timesteps(kind, n))[step] for kind, n, step in points]
    )
    latents, predicted, fresh = (noise(seed, 4, 16, 6, 6) for seed in range(3))
    together = noise_schedule.denoising_step(latents, predicted, lines, fresh)
    for i in range(4):
        row = slice(i, i + 1)
        assert torch.equal(
            together[row], noise_schedule.denoising_step(latents[row], predicted[row], lines[row], fresh[row])
        )


def stock_alpha_bar(t):
    """As float64, so that differences of large terms are exact in the oracle."""
    return DDPMWuerstchenScheduler()._alpha_cumprod(torch.tensor(t), "cpu").double()


@pytest.mark.parametrize(("kind", "evaluations"), [("two-part", 29), ("linear", 12), ("linear", 2), ("two-part", 5)])
def test_ddim_goes_on_along_the_predicted_noise(kind, evaluations):
    """Equation 12 of arXiv 2010.02502 with sigma 0: from the estimate of the clean latents back to the next time."""
    times = noise_schedule.timesteps(kind, evaluations)
    lines = noise_schedule.step_coefficients(times, "ddim")
    latents = noise(0, 1, 4, 8, 8)
    for step, (t, t_next) in enumerate(itertools.pairwise(times)):
        predicted, fresh = noise(1 + step, 1, 4, 8, 8), noise(1000 + step, 1, 4, 8, 8)
        ours = noise_schedule.denoising_step(latents, predicted, lines[step : step + 1], fresh)
        a, a_next = stock_alpha_bar(t), stock_alpha_bar(t_next) if t_next else torch.tensor(1.0)
        clean = (latents.double() - (1 - a).sqrt() * predicted) / a.sqrt()
        expected = a_next.sqrt() * clean + (1 - a_next).sqrt() * predicted
        # At t = 1 float32 latents are divided by 0.01, which multiplies their rounding.
        torch.testing.assert_close(ours.double(), expected, rtol=2e-5, atol=2e-5 / float(a.sqrt()))
        latents = ours


@pytest.mark.parametrize("evaluations", [1, 2, 7])
def test_ddim_with_the_true_noise_arrives_at_the_picture(evaluations):
    picture, added = noise(1, 2, 4, 8, 8), noise(2, 2, 4, 8, 8)
    times = noise_schedule.timesteps("linear", evaluations)
    lines = noise_schedule.step_coefficients(times, "ddim")
    latents = DDPMWuerstchenScheduler().add_noise(picture, added, torch.ones(2))
    for step in range(evaluations):
        latents = noise_schedule.denoising_step(latents, added, lines[step : step + 1], torch.zeros_like(added))
    torch.testing.assert_close(latents, picture, rtol=0, atol=1e-4)


def test_images_with_different_samplers_step_as_they_do_alone():
    times = noise_schedule.timesteps("linear", 4)
    lines = torch.stack([noise_schedule.step_coefficients(times, kind)[1] for kind in ("ddim", "ddpm", "ddim", "ddpm")])
    latents, predicted, fresh = (noise(seed, 4, 16, 6, 6) for seed in range(3))
    together = noise_schedule.denoising_step(latents, predicted, lines, fresh)
    for i in range(4):
        row = slice(i, i + 1)
        alone = noise_schedule.denoising_step(latents[row], predicted[row], lines[row], fresh[row])
        assert torch.equal(together[row], alone)
    assert not torch.allclose(together[0], together[1])


def test_the_last_step_adds_no_noise():
    lines = noise_schedule.step_coefficients((1.0, 0.5, 0.0))
    assert lines[-1, -1] == 0
    assert lines[0, -1] > 0


@pytest.mark.parametrize("t", [0.9, 0.5, 0.1])
def test_the_clean_estimate_removes_exactly_the_added_noise(t):
    picture, added = noise(1, 2, 4, 8, 8), noise(2, 2, 4, 8, 8)
    times = torch.full((2,), t)
    noisy = DDPMWuerstchenScheduler().add_noise(picture, added, times)
    assert torch.allclose(noise_schedule.predict_clean_latents(noisy, added, times), picture, atol=1e-5)
