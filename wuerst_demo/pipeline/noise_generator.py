"""The noise of one image, generated on the CPU so that it is the same on every device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_PARALLEL = 1 - 1e-9
"""Correlation from which on two noises are the same."""


@dataclass(frozen=True)
class NoiseGenerator:
    """CPU generators whose noise is added with weights, the squares of which sum to 1: standard normal noise again."""

    sources: tuple[torch.Generator, ...]
    weights: tuple[float, ...] = (1.0,)

    @classmethod
    def seeded(cls, seed: int) -> NoiseGenerator:
        return cls((torch.Generator().manual_seed(seed),))

    def fill(self, sample: Tensor) -> None:
        """Overwrites a CPU tensor with standard normal noise."""
        sample.normal_(generator=self.sources[0]).mul_(self.weights[0])
        for source, weight in zip(self.sources[1:], self.weights[1:], strict=True):
            sample.add_(torch.empty_like(sample).normal_(generator=source), alpha=weight)

    def clone(self) -> NoiseGenerator:
        """A copy that goes on from the same state."""
        return NoiseGenerator(tuple(source.clone_state() for source in self.sources), self.weights)

    def mix(self, other: NoiseGenerator, share: float) -> NoiseGenerator:
        """The noise at this share of the way to another's, from 0 to 1, on a great circle.

        Generators in the same state give the same noise, so that the way between equal noises stays where it is.
        """
        sources = list(self.sources)
        weights, others = list(self.weights), [0.0] * len(self.sources)
        for source, weight in zip(other.sources, other.weights, strict=True):
            states = [torch.equal(source.get_state(), each.get_state()) for each in sources]
            if any(states):
                others[states.index(True)] += weight
            else:
                sources.append(source)
                weights.append(0.0)
                others.append(weight)
        one, two = slerp_weights(math.fsum(a * b for a, b in zip(weights, others, strict=True)), share)
        return NoiseGenerator(tuple(sources), tuple(one * a + two * b for a, b in zip(weights, others, strict=True)))


def slerp_weights(cosine: float, share: float) -> tuple[float, float]:
    """Weights of two vectors with this cosine between them, for the vector at `share` of the way on a great circle.

    Source: Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985.
    """
    if abs(cosine) >= _PARALLEL:  # no circle is the shortest, so the line between them
        return 1 - share, share
    angle = math.acos(cosine)
    return math.sin((1 - share) * angle) / math.sin(angle), math.sin(share * angle) / math.sin(angle)
