"""The diffusion process in training: timesteps, noise, the loss and the sampler."""

import pytest
import torch
from diffusers import DDPMWuerstchenScheduler

from wuerst_demo.pipeline.noise_schedule import alpha_bar
from wuerst_demo.training import diffusion

T = torch.tensor([0.03, 0.4, 0.9, 1.0])


def clean_and_noise():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 3, 8, 8, generator=generator), torch.randn(4, 3, 8, 8, generator=generator)


def target_parts(clean):
    signal = alpha_bar(T).view(-1, 1, 1, 1)
    return signal.sqrt() * clean, (1 - signal).sqrt().expand_as(clean)


def test_noise_is_added_like_the_published_scheduler_does():
    clean, noise = clean_and_noise()
    expected = DDPMWuerstchenScheduler().add_noise(clean, noise, T)
    torch.testing.assert_close(diffusion.add_noise(clean, noise, T), expected)


def slopes(noise):
    """The correlation of noise (B, C, H, W) with a slope from left to right, and from top to bottom (B, 2)."""
    across = noise.mean((1, 2)) @ torch.linspace(-1, 1, noise.shape[3])
    down = noise.mean((1, 3)) @ torch.linspace(-1, 1, noise.shape[2])
    return torch.stack([across, down], 1)


def test_coupled_noise_slopes_as_its_shares_say_whatever_it_was():
    shares = torch.tensor([[0.1, 0.9], [0.5, 0.5], [0.9, 0.1]])
    noise = torch.randn(2, 3, 16, 6, 9, generator=torch.Generator().manual_seed(1))
    one, other = (slopes(diffusion.couple_noise(each, shares)) for each in noise)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert (one[0] < 0).tolist() == [True, False]
    torch.testing.assert_close(one[1], torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(one[2], -one[0], rtol=1e-4, atol=1e-5)


def test_coupled_noise_of_random_shares_is_distributed_like_noise():
    generator = torch.Generator().manual_seed(2)
    noise, shares = torch.randn(6000, 4, 2, 3, generator=generator), torch.rand(6000, 2, generator=generator)
    coupled = diffusion.couple_noise(noise, shares)
    covariance = torch.cov(coupled.flatten(1).T)
    torch.testing.assert_close(covariance, torch.eye(24), rtol=0, atol=0.08)
    assert slopes(coupled).std(0) == pytest.approx(slopes(noise).std(0), rel=0.05)
    torch.testing.assert_close(
        coupled - noise - (coupled - noise).mean(1, keepdim=True), torch.zeros_like(noise), rtol=0, atol=1e-5
    )


def test_noise_is_coupled_to_the_surest_shares():
    noise = torch.randn(2, 16, 6, 6)
    assert diffusion.couple_noise(noise, torch.tensor([[0.0, 1.0], [1.0, 0.0]])).isfinite().all()


def test_target_parts_give_the_noise_and_no_loss():
    clean, noise = clean_and_noise()
    a, b = target_parts(clean)
    noisy = diffusion.add_noise(clean, noise, T)
    torch.testing.assert_close((noisy - a) / b, noise, rtol=1e-4, atol=1e-4)
    assert diffusion.noise_parts_loss(a, b, clean, T) == pytest.approx(0, abs=1e-10)


def test_an_error_in_either_part_has_a_loss():
    clean, _ = clean_and_noise()
    a, b = target_parts(clean)
    assert diffusion.noise_parts_loss(a + 0.01, b, clean, T) > 1e-5
    assert diffusion.noise_parts_loss(a, b - 0.01, clean, T) > 1e-5


def test_timesteps_are_stratified_or_mostly_early():
    def sample(early):
        return diffusion.sample_timesteps(4000, torch.Generator().manual_seed(1), early)

    for t in (sample(0.0), sample(0.6)):
        assert t.min() >= 0.001
        assert t.max() == 1
        assert (t == 1).float().mean() == pytest.approx(0.1, abs=0.02)
    below_1 = sample(0.0)
    assert below_1[below_1 < 1].median() == pytest.approx(0.5, abs=0.02)
    # 0.6 of those below 1, and of the stratified ones as many as are there anyway
    early = ((sample(0.6) >= 0.85) & (sample(0.6) < 1)).float().mean()
    assert early == pytest.approx(0.9 * (0.6 + 0.4 * 0.15), abs=0.03)


def test_conditioning_noise_has_a_random_strength_per_image():
    torch.manual_seed(0)
    stds = diffusion.augment_conditioning(torch.zeros(64, 16, 8, 8), 0.3).flatten(1).std(1)
    assert 0.25 < stds.max() < 0.33
    assert stds.min() < 0.05


def test_the_sampler_equals_the_published_scheduler():
    noise, _ = clean_and_noise()

    def predict(x, t):
        return 0.5 * x + t.view(-1, 1, 1, 1)

    torch.manual_seed(3)
    sampled = diffusion.sample(predict, noise, 10)
    torch.manual_seed(3)
    scheduler = DDPMWuerstchenScheduler()
    scheduler.set_timesteps(timesteps=torch.linspace(1, 0, 11))
    expected = noise
    for t in scheduler.timesteps[:-1]:
        times = t.expand(len(noise))
        expected = scheduler.step(predict(expected, times), times, expected).prev_sample
    torch.testing.assert_close(sampled, expected, rtol=1e-4, atol=1e-4)


def test_sampling_with_the_true_noise_gives_the_clean_latents():
    clean, noise = clean_and_noise()

    def predict(x, t):
        signal = alpha_bar(t).view(-1, 1, 1, 1)
        return (x - signal.sqrt() * clean) / (1 - signal).sqrt()

    torch.testing.assert_close(diffusion.sample(predict, noise, 10), clean, rtol=0.02, atol=0.02)


def test_an_error_of_the_clean_image_costs_the_same_but_for_little_noise_and_nearly_none_of_it():
    clean, _ = clean_and_noise()
    a, b = target_parts(clean)
    signal = alpha_bar(T).view(-1, 1, 1, 1)
    losses = [
        float(diffusion.noise_parts_loss(*(each[k : k + 1] for each in (a + 0.1 * signal.sqrt(), b, clean, T))))
        for k in range(len(T))
    ]
    shares = [
        float(signal[k].clamp(max=1) * (1 / signal[k]).clamp(max=1000) * (1 / (1 - signal[k])).clamp(max=5))
        for k in range(len(T))
    ]
    assert losses == pytest.approx([0.01 * share for share in shares], rel=1e-3)
    assert losses[0] == pytest.approx(0.05, rel=1e-3)
    assert losses[2] < 0.02
