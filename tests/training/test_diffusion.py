"""What prior and decoder training share: times, noise, and a loss for both parts of what the networks say."""

import pytest
import torch
from diffusers import DDPMWuerstchenScheduler

from wuerst_demo.training import diffusion, networks

T = torch.tensor([0.03, 0.4, 0.9, 1.0])


def pictures():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 3, 8, 8, generator=generator), torch.randn(4, 3, 8, 8, generator=generator)


def right_parts(clean):
    kept = diffusion.alpha_bar(T).view(-1, 1, 1, 1)
    return kept.sqrt() * clean, (1 - kept).sqrt().expand_as(clean)


def test_noise_is_added_as_the_published_scheduler_adds_it():
    clean, noise = pictures()
    scheduler = DDPMWuerstchenScheduler()
    torch.testing.assert_close(diffusion.noised(clean, noise, T), scheduler.add_noise(clean, noise, T))


def test_where_both_parts_are_right_the_noise_is_and_there_is_nothing_to_learn():
    clean, noise = pictures()
    a, b = right_parts(clean)
    noisy = diffusion.noised(clean, noise, T)
    torch.testing.assert_close((noisy - a) / b, noise, rtol=1e-4, atol=1e-4)
    assert diffusion.parts_loss(a, b, clean, T) == pytest.approx(0, abs=1e-10)


def test_an_error_in_either_part_costs():
    clean, _ = pictures()
    a, b = right_parts(clean)
    assert diffusion.parts_loss(a + 0.01, b, clean, T) > 1e-5
    assert diffusion.parts_loss(a, b - 0.01, clean, T) > 1e-5


def test_taking_the_noise_away_gives_the_picture_back():
    clean, noise = pictures()
    noisy = diffusion.noised(clean, noise, T)
    torch.testing.assert_close(diffusion.clean(noisy, noise, T), clean, rtol=1e-3, atol=1e-3)


def test_times_are_spread_out_or_mostly_early():
    def times(early):
        return diffusion.sample_times(4000, torch.Generator().manual_seed(1), early)

    for each in (times(0.0), times(0.6)):
        assert each.min() >= 0.001
        assert each.max() == 1
        assert (each == 1).float().mean() == pytest.approx(0.1, abs=0.02)
    between = times(0.0)
    assert between[between < 1].median() == pytest.approx(0.5, abs=0.02)
    # 0.6 of those before 1, and of the evenly spread ones as many as lie there anyway
    first = ((times(0.6) >= 0.85) & (times(0.6) < 1)).float().mean()
    assert first == pytest.approx(0.9 * (0.6 + 0.4 * 0.15), abs=0.03)


def test_the_priors_parts_are_those_that_its_noise_is_made_of():
    torch.manual_seed(0)
    prior = networks.prior(1).eval()
    torch.nn.init.normal_(prior.out[1].weight, std=0.1)
    noisy, text = torch.randn(2, 16, 6, 6), torch.randn(2, 77, prior.config.c_cond)
    a, b = networks.prior_parts(prior, noisy, T[:2], text)
    torch.testing.assert_close((noisy - a) / b, prior(noisy, T[:2], text))
