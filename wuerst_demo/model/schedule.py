"""Where the denoising goes and how one step is made: timesteps, noise levels and the update, each row by itself.

Time t runs from 1 (noise) to 0 (clean). The update is that of DDPMWuerstchenScheduler, which looks up one timestep for
the whole batch and waits for the device to do so; written out per row, rows at different points of different schedules
share one forward pass. Published checkpoints all have its default offset and scaler; no others are supported.

Does not know networks, text or where rows come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from wuerst_demo.request import Schedule

OFFSET = 0.008
"""The cosine schedule's `s`: how far from t = 0 it starts, so that the first noise is not vanishingly small."""
PUBLISHED = 29
PUBLISHED_ABOVE = 19
"""DEFAULT_STAGE_C_TIMESTEPS spends 29 evaluations, 19 of them above t = 2/3, where the picture is composed."""


def timesteps(schedule: Schedule, evaluations: int) -> tuple[float, ...]:
    """The `evaluations` + 1 times of a schedule, from 1.0 down to 0.0. `evaluations` is at least 1."""
    if schedule == "two-part":
        return two_part(evaluations)
    # torch's own linspace, as the stock scheduler has it: its float32 values differ from numpy's in the last bit.
    return tuple(torch.linspace(1.0, 0.0, evaluations + 1).tolist())


def two_part(evaluations: int) -> tuple[float, ...]:
    """DEFAULT_STAGE_C_TIMESTEPS for 29 evaluations, and its proportion of 19 to 10 for any other number.

    Each side of t = 2/3 has at least one evaluation; a single one goes straight from 1 to 0.
    """
    if evaluations == 1:
        return (1.0, 0.0)
    above = min(max(round(evaluations * PUBLISHED_ABOVE / PUBLISHED), 1), evaluations - 1)
    down = np.linspace(1.0, 2 / 3, above + 1).tolist()
    rest = np.linspace(2 / 3, 0.0, evaluations - above + 1).tolist()
    return (*down, *rest[1:])


def alpha_bar(t: Tensor) -> Tensor:
    """The share of the clean picture's variance at times t: float32 in, the same shape out, in [1e-4, 0.9999]."""
    offset = torch.tensor(OFFSET, device=t.device)
    start = torch.cos(offset / (1 + offset) * torch.pi * 0.5) ** 2
    level = torch.cos((t + offset) / (1 + offset) * torch.pi * 0.5) ** 2 / start
    return level.clamp(0.0001, 0.9999)


def moves(times: tuple[float, ...], dtype: torch.dtype) -> Tensor:
    """All that the steps along `times` need to know, one line per step: float32 (len(times) - 1, 5).

    The columns are t itself and the four numbers of `denoise`: growth, pull, depth, spread. t is rounded to `dtype`,
    the type of the latents, because that is the time the network is told; the update must agree with it.
    """
    t = torch.tensor(times[:-1], dtype=torch.float32).to(dtype).float()
    after = torch.tensor(times[1:], dtype=torch.float32)
    level, level_after = alpha_bar(t), alpha_bar(after)
    ratio = level / level_after
    growth = (1.0 / ratio).sqrt()
    pull = 1 - ratio
    depth = (1 - level).sqrt()
    spread = ((1 - ratio) * (1.0 - level_after) / (1.0 - level)).sqrt() * (after != 0)
    return torch.stack([t, growth, pull, depth, spread], dim=1)


def denoise(latents: Tensor, predicted: Tensor, lines: Tensor, noise: Tensor) -> Tensor:
    """One step of every row: (n, C, h, w) at its time t -> the same shape at its next time.

    `predicted` is the noise that the network sees in `latents`, `lines` (n, 5) holds each row's line of `moves`,
    `noise` is fresh. The latents keep their type; the arithmetic is float32, as in DDPMWuerstchenScheduler.step.
    """
    _, growth, pull, depth, spread = lines.view(*lines.shape, 1, 1, 1).unbind(1)
    mean = growth * (latents - pull * predicted / depth)
    return (mean + spread * noise).to(latents.dtype)


def clean(latents: Tensor, predicted: Tensor, t: Tensor) -> Tensor:
    """What the rows (n, C, h, w) would be without the noise predicted in them at times t (n,): float32.

    It is x0 = (x - sqrt(1 - a) eps) / sqrt(a), the estimate that a preview shows; far from t = 0 it is vague.
    """
    level = alpha_bar(t.float()).view(-1, 1, 1, 1)
    return (latents - (1 - level).sqrt() * predicted) / level.sqrt()
