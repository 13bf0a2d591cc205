"""What is in flight: a row, which is one image of a request on its way, and what it carries along for each network.

Rows are values: moving one on makes a new one. Does not know how they are moved.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from wuerst_demo.events import Stage
from wuerst_demo.request import Request


@dataclass(frozen=True, eq=False)
class Leg:
    """What a row needs in one network, the same at every step; rows of one request share it.

    `text` is (1, 77k, D), or from the first step in a network that keeps texts on, what that network takes in its place
    (see keeping.py). `negative`, of that shape, and `guidance`, (1,), are None where guidance is 1 or less: such a
    row takes one place in the forward pass, a guided one two. `lines` holds its times, see `schedule.moves`.
    """

    text: Tensor
    negative: Tensor | None
    guidance: Tensor | None
    lines: Tensor


@dataclass(frozen=True, eq=False)
class Seen:
    """What one evaluation of `stage` saw: `latents` (1, C, h, w) at time `t` (1,), and the noise predicted in them."""

    stage: Stage
    latents: Tensor
    predicted: Tensor
    t: Tensor


@dataclass(frozen=True, eq=False)
class Row:
    """Image `image` (from 0) of a request, in flight: `step` of `of` evaluations of `stage` are done.

    `request` draws this image alone. `latents` is (1, C, h, w): the prior's, later the decoder's. `embeddings`, the
    prior's result (1, 16, h, w), is there from the decoder on. `notes` are sentences about how the prompt was read.
    `seen` is the evaluation that the row comes from, None before the first: the estimate of the clean latents is worked
    out of it for those who ask.
    """

    image: int
    request: Request
    stage: Stage
    step: int
    of: int
    notes: tuple[str, ...]
    latents: Tensor = field(repr=False)
    generator: torch.Generator = field(repr=False)
    legs: Mapping[Stage, Leg] = field(repr=False)
    embeddings: Tensor | None = field(default=None, repr=False)
    seen: Seen | None = field(default=None, repr=False)

    @property
    def key(self) -> Hashable:
        """Rows with equal keys may share a forward pass. The attention has no mask, so text lengths must agree."""
        leg = self.legs.get(self.stage)
        return (self.stage, tuple(self.latents.shape), leg.text.shape[1] if leg else 0)
