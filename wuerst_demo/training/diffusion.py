"""The diffusion process in training: timesteps, noise, the loss, and a sampler for sample sheets.

The noise schedule is the published one (`pipeline.noise_schedule`).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from wuerst_demo.pipeline.noise_schedule import alpha_bar, denoising_step, step_coefficients, timesteps
from wuerst_demo.request import Sampler


def sample_timesteps(count: int, generator: torch.Generator, early: float = 0.0) -> Tensor:
    """Timesteps t (count,) in 0..1, a tenth of them exactly 1, where sampling starts.

    Of the others, the share `early` is uniform in 0.85..0.985, nearly pure noise, the rest stratified over 0..1.
    """
    stratified = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    is_early = torch.rand(count, generator=generator) < early
    t = torch.where(is_early, 0.85 + 0.135 * torch.rand(count, generator=generator), stratified.clamp(0.001, 1.0))
    return torch.where(torch.rand(count, generator=generator) < 0.1, 1.0, t)


def augment_conditioning(z: Tensor, max_std: float) -> Tensor:
    """z (B, C, H, W) plus noise of a random standard deviation up to `max_std` per image, so that its readers tolerate
    the prior's errors. Conditioning augmentation of cascaded diffusion models (arXiv:2106.15282, section 4)."""
    return z + torch.randn_like(z) * max_std * torch.rand(len(z), 1, 1, 1, device=z.device)


def add_noise(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The forward process: `clean` and `noise` (B, C, H, W) mixed as at t (B,)."""
    signal = alpha_bar(t).view(-1, 1, 1, 1)
    return signal.sqrt() * clean + (1 - signal).sqrt() * noise


def couple_noise(noise: Tensor, shares: Tensor) -> Tensor:
    """Noise (B, C, H, W) whose slope from left to right, and from top to bottom, follows `shares` (B, 2) in 0..1. For
    uniform shares it is normally distributed as before.

    A network that learns from such noise finds in it from the first step on where things are to be, instead of
    averaging over all places. Sampling needs no change: of noise at random, every slope is as likely as in training.
    Couplings of noise and data keep the distribution of samples (arXiv:2302.00482, section 3.2).
    """
    wanted = torch.special.ndtri(shares.clamp(1e-4, 1 - 1e-4)).to(noise)
    height, width = noise.shape[2:]
    slopes = (
        torch.linspace(-1, 1, width).expand(height, width),
        torch.linspace(-1, 1, height)[:, None].expand(height, width),
    )
    for axis, slope in enumerate(slopes):
        unit = (slope / (slope.norm() * noise.shape[1] ** 0.5)).to(noise)
        found = (noise * unit).sum((1, 2, 3))
        noise = noise + (wanted[:, axis] - found).view(-1, 1, 1, 1) * unit
    return noise


def noise_parts_loss(a: Tensor, b: Tensor, clean: Tensor, t: Tensor) -> Tensor:
    """Mean squared error of a and b (B, C, H, W), where the predicted noise is (x - a) / b; a scalar.

    The targets are a = sqrt(alpha_bar) clean and b = sqrt(1 - alpha_bar). With a loss on the noise alone, as published,
    a small network learns b very late, and a follows b's errors until then. An error of the clean image costs the same
    at all t, up to five times as much where little noise is left, and less near t = 1.
    """
    signal = alpha_bar(t).view(-1, 1, 1, 1)
    weight = (1 / signal).clamp(max=1000) * (1 / (1 - signal)).clamp(max=5)
    error = (a.float() - signal.sqrt() * clean).pow(2) + (b.float() - (1 - signal).sqrt()).pow(2)
    return (weight * error).mean()


@torch.no_grad()
def sample(predict: Callable[[Tensor, Tensor], Tensor], noise: Tensor, steps: int, sampler: Sampler = "ddpm") -> Tensor:
    """Clean latents from noise (B, C, H, W) in `steps` unguided steps; `predict(x, t)` is the noise in x at t (B,)."""
    x = noise
    for coefficients in step_coefficients(timesteps("linear", steps), sampler).to(noise.device):
        t = coefficients[:1].expand(len(x))
        x = denoising_step(x, predict(x, t), coefficients.expand(len(x), -1), torch.randn_like(x))
    return x
