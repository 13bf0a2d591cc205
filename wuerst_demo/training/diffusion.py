"""What prior and decoder training share: noising, the weighted noise loss, and a plain sampler for sample sheets.

The schedule is the published one (DDPMWuerstchenScheduler of diffusers: cosine, alpha-bar in [1e-4, 0.9999]).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import DDPMWuerstchenScheduler
from torch import Tensor

SCHEDULE: Any = DDPMWuerstchenScheduler()  # type: ignore[no-untyped-call]


def alpha_bar(t: Tensor) -> Tensor:
    """The share of signal (as variance) left at times t (B,) in 0..1."""
    kept: Tensor = SCHEDULE._alpha_cumprod(t, t.device)
    return kept


def sample_times(count: int, generator: torch.Generator) -> Tensor:
    """Times (count,) in 0..1, one in eight exactly 1, where every sampler starts and errors are multiplied most."""
    t = torch.rand(count, generator=generator)
    return torch.where(torch.rand(count, generator=generator) < 0.125, 1.0, t.clamp(0.001, 1.0))


def noised(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """`clean` (B, C, H, W) with noise as at times t (B,)."""
    kept = alpha_bar(t).view(-1, 1, 1, 1)
    return kept.sqrt() * clean + (1 - kept).sqrt() * noise


def noise_loss(predicted: Tensor, noise: Tensor, t: Tensor, cap: float) -> Tensor:
    """Mean squared error of the predicted noise, weighted by 1 / alpha-bar up to `cap`.

    The sampler divides an error made at t by sqrt(alpha-bar): the plain loss hardly sees what ruins a picture near
    t = 1. Where the cap does not bite, the weighted loss is the error of v-prediction.
    """
    weight = (1 / alpha_bar(t)).clamp(max=cap)
    return (weight * (predicted.float() - noise).pow(2).mean((1, 2, 3))).mean()


@torch.no_grad()
def denoise(predict: Callable[[Tensor, Tensor], Tensor], noise: Tensor, times: Tensor) -> Tensor:
    """From noise (B, C, H, W) at times[0] = 1 down to times[-1] = 0; `predict(x, t)` gives the noise in x at t (B,)."""
    times, x = times.to(noise.device), noise
    SCHEDULE.set_timesteps(timesteps=times)
    for t in times[:-1]:
        each = t.expand(len(x))
        x = SCHEDULE.step(predict(x, each), each, x).prev_sample
    return x
