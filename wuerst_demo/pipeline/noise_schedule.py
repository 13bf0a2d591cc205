"""Noise schedule: timesteps, alpha_bar(t), and the denoising update, for a batch in which each image has its own time.

Time t is continuous, from 1 (noise) to 0 (clean). The DDPM update equals DDPMWuerstchenScheduler of diffusers with its
default `s` and `scaler`, which all published checkpoints have. That class reads one timestep for the whole batch and
synchronizes with the device to do so; per-image coefficients let images at different steps share a forward pass. DDIM
(eta 0) is the same update with other coefficients, so that images with different samplers share one, too.

Sources: DDPM, arXiv 2006.11239 (algorithm 2); DDIM, arXiv 2010.02502 (equation 12); cosine schedule, Nichol and
Dhariwal, arXiv 2102.09672 (equation 17); Würstchen, arXiv 2306.00637 (section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from wuerst_demo.timesteps import two_part_timesteps

if TYPE_CHECKING:
    from torch import Tensor

    from wuerst_demo.request import PriorSchedule, Sampler

COSINE_OFFSET = 0.008
"""`s` of the cosine schedule, which keeps the noise near t = 0 from becoming vanishingly small."""


def timesteps(schedule: PriorSchedule, evaluations: int) -> tuple[float, ...]:
    """The `evaluations` + 1 times of a schedule, from 1.0 down to 0.0, for at least 1 evaluation."""
    if schedule == "two-part":
        return two_part_timesteps(evaluations)
    # torch's linspace, as in the stock scheduler: numpy's float32 values differ in the last bit.
    return tuple(torch.linspace(1.0, 0.0, evaluations + 1).tolist())


def alpha_bar(t: Tensor) -> Tensor:
    """Signal share of the variance at times t: float32 of any shape -> the same shape, in [1e-4, 0.9999]."""
    s = torch.tensor(COSINE_OFFSET, device=t.device)
    f_0 = torch.cos(s / (1 + s) * torch.pi * 0.5) ** 2
    return (torch.cos((t + s) / (1 + s) * torch.pi * 0.5) ** 2 / f_0).clamp(0.0001, 0.9999)


def step_coefficients(times: tuple[float, ...], sampler: Sampler = "ddpm") -> Tensor:
    """One row per step along `times`: float32 (len(times) - 1, 5).

    The columns are t, the scale of the mean, the share of the predicted noise that is removed, sqrt(1 - alpha_bar_t),
    which that share is relative to, and the scale of the fresh noise. For DDPM they are t, 1 / sqrt(alpha_t),
    1 - alpha_t, sqrt(1 - alpha_bar_t) and sigma_t.
    """
    t = torch.tensor(times[:-1], dtype=torch.float32)
    t_next = torch.tensor(times[1:], dtype=torch.float32)
    alpha_bar_t, alpha_bar_next = alpha_bar(t), alpha_bar(t_next)
    noise_t = (1 - alpha_bar_t).sqrt()
    if sampler == "ddim":
        # The last step ends at the estimate of the clean latents.
        alpha_bar_next = alpha_bar_next.where(t_next != 0, 1.0)
        scale = (alpha_bar_next / alpha_bar_t).sqrt()
        removed = noise_t * (noise_t - (1 - alpha_bar_next).sqrt() / scale)
        return torch.stack([t, scale, removed, noise_t, torch.zeros_like(t)], dim=1)
    alpha_t = alpha_bar_t / alpha_bar_next
    sigma_t = ((1 - alpha_t) * (1.0 - alpha_bar_next) / (1.0 - alpha_bar_t)).sqrt() * (t_next != 0)
    return torch.stack([t, (1.0 / alpha_t).sqrt(), 1 - alpha_t, noise_t, sigma_t], dim=1)


def denoising_step(x_t: Tensor, epsilon: Tensor, coefficients: Tensor, z: Tensor) -> Tensor:
    """The update of latents x_t (n, C, h, w) to the next time, per image, with the same shape.

    `epsilon` (n, C, h, w) is the predicted noise, `coefficients` (n, 5) holds a row of `step_coefficients` for each
    image, z (n, C, h, w) is fresh noise. All are float32: near t = 1 the update divides by small numbers.
    """
    _, scale, removed, noise_t, fresh = coefficients.view(*coefficients.shape, 1, 1, 1).unbind(1)
    mean = scale * (x_t - removed * epsilon / noise_t)
    return mean + fresh * z


def predict_clean_latents(x_t: Tensor, epsilon: Tensor, t: Tensor) -> Tensor:
    """The estimate x_0 = (x_t - sqrt(1 - alpha_bar_t) epsilon) / sqrt(alpha_bar_t): float32 (n, C, h, w).

    x_t and the predicted noise epsilon are (n, C, h, w), t is (n,). Far from t = 0 the estimate is vague.
    """
    alpha_bar_t = alpha_bar(t.float()).view(-1, 1, 1, 1)
    return (x_t - (1 - alpha_bar_t).sqrt() * epsilon) / alpha_bar_t.sqrt()


def add_noise(x_0: Tensor, noise: Tensor, t: float | Tensor) -> Tensor:
    """Clean latents x_0 (n, C, h, w) at time t: sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise, in its dtype."""
    alpha_bar_t = alpha_bar(torch.as_tensor(t))
    return (alpha_bar_t.sqrt() * x_0.float() + (1 - alpha_bar_t).sqrt() * noise.float()).to(noise.dtype)
