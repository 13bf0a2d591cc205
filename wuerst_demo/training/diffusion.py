"""What prior and decoder training share: noising, the loss, and a plain sampler for sample sheets.

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


def sample_times(count: int, generator: torch.Generator, early: float = 0.0) -> Tensor:
    """Times (count,) in 0..1, one in ten exactly 1, where every sampler starts. The share `early` is from its first
    steps, 0.85 to 0.985, which is nearly all noise; the rest is spread evenly, each from a part of its own, so that
    batches are alike."""
    spread = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    first = torch.rand(count, generator=generator) < early
    t = torch.where(first, 0.85 + 0.135 * torch.rand(count, generator=generator), spread.clamp(0.001, 1.0))
    return torch.where(torch.rand(count, generator=generator) < 0.1, 1.0, t)


def shaken(z: Tensor, most: float) -> Tensor:
    """z (B, C, H, W) with noise of a deviation of up to `most`, each picture's with its own: neighbouring z come to
    mean alike pictures, which is what the prior's small errors need."""
    return z + torch.randn_like(z) * most * torch.rand(len(z), 1, 1, 1, device=z.device)


def noised(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """`clean` (B, C, H, W) with noise as at times t (B,)."""
    kept = alpha_bar(t).view(-1, 1, 1, 1)
    return kept.sqrt() * clean + (1 - kept).sqrt() * noise


def clean(noisy: Tensor, predicted: Tensor, t: Tensor) -> Tensor:
    """What is left of `noisy` (B, C, H, W) at times t (B,) without the predicted noise."""
    kept = alpha_bar(t).view(-1, 1, 1, 1).to(noisy.device)
    return (noisy - (1 - kept).sqrt() * predicted) / kept.sqrt()


def parts_loss(a: Tensor, b: Tensor, clean: Tensor, t: Tensor) -> Tensor:
    """Mean squared error of both parts that a Würstchen network makes its noise (x - a) / b of.

    Where the noise is right, a is the clean picture times sqrt(alpha-bar) and b is sqrt(1 - alpha-bar). Asked for the
    noise alone, as in the published training, a small network takes very long to find out about b, and all that time
    its a learns from b's errors. Weighted so that an error of the clean picture costs the same at all t, up to five
    times as much where little noise is left, and less near t = 1, where a is a hundredth of the picture.
    """
    kept = alpha_bar(t).view(-1, 1, 1, 1)
    weight = (1 / kept).clamp(max=1000) * (1 / (1 - kept)).clamp(max=5)
    error = (a.float() - kept.sqrt() * clean).pow(2) + (b.float() - (1 - kept).sqrt()).pow(2)
    return (weight * error).mean()


@torch.no_grad()
def denoise(predict: Callable[[Tensor, Tensor], Tensor], noise: Tensor, times: Tensor) -> Tensor:
    """From noise (B, C, H, W) at times[0] = 1 down to times[-1] = 0; `predict(x, t)` gives the noise in x at t (B,)."""
    times, x = times.to(noise.device), noise
    SCHEDULE.set_timesteps(timesteps=times)
    for t in times[:-1]:
        each = t.expand(len(x))
        x = SCHEDULE.step(predict(x, each), each, x).prev_sample
    return x
