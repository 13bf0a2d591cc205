"""State of one image in flight: its latents, noise generator and step, and its conditioning for each network.

States are immutable: a step returns new ones.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from wuerst_demo.events import Stage
from wuerst_demo.pipeline.known_cells import KnownCells
from wuerst_demo.pipeline.noise_generator import NoiseGenerator
from wuerst_demo.request import Request
from wuerst_demo.variation import encode_image_embeddings


@dataclass(frozen=True, eq=False)
class StageConditioning:
    """Step-invariant inputs of one network. All images of a request share it."""

    text: Tensor
    """Text embeddings (1, 77 k, D), or what a network with a text KV cache takes in their place (1, 77 k, 1, C)."""
    negative_text: Tensor | None
    """Embeddings of the negative prompt, in the shape of `text`; None if no evaluation is guided."""
    guidance: Tensor | None
    """The guidance scale (1,), float32; None if no evaluation is guided."""
    guided: tuple[bool, ...]
    """Whether each evaluation takes two samples of a forward pass, for classifier-free guidance, or one."""
    coefficients: Tensor
    """One row per step (steps, 5), float32: see `noise_schedule.step_coefficients`."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Inputs and result of one network evaluation, from which a preview estimates the clean latents."""

    stage: Stage
    latents: Tensor
    """The noisy latents (1, C, h, w)."""
    noise: Tensor
    """The noise predicted in them (1, C, h, w)."""
    t: Tensor
    """Their time (1,), float32."""


@dataclass(frozen=True, eq=False)
class ImageState:
    """One image of a request between two steps."""

    index: int
    """Index within the request, from 0."""
    request: Request
    """The request that generates this image alone."""
    stage: Stage
    step: int
    """Evaluations of `stage` that are done."""
    total_steps: int
    """Evaluations of `stage` in all."""
    notes: tuple[str, ...]
    """Sentences for the user about how the prompts were read."""
    latents: Tensor = field(repr=False)
    """(1, 16, h, w) in the prior, (1, 4, h, w) from the decoder on; float32 whatever the networks' dtype."""
    generator: NoiseGenerator = field(repr=False)
    """Of the image's own noise."""
    conditioning: Mapping[Stage, StageConditioning] = field(repr=False)
    """For the networks still ahead."""
    image_embeddings: Tensor | None = field(default=None, repr=False)
    """The prior's result (1, 16, h, w), from the decoder on, in the decoder's dtype."""
    known: KnownCells | None = field(default=None, repr=False)
    """What a redrawn image keeps, until the prior's end; None for all others."""
    prediction: Prediction | None = field(default=None, repr=False)
    """The last evaluation; None before the first."""

    @property
    def guided(self) -> bool:
        """Whether the next evaluation is guided. It is one of prior or decoder."""
        return self.conditioning[self.stage].guided[self.step]

    @property
    def key(self) -> Hashable:
        """States with equal keys may share a forward pass. Attention has no mask, so text lengths must agree."""
        conditioning = self.conditioning.get(self.stage)
        return (self.stage, tuple(self.latents.shape), conditioning.text.shape[1] if conditioning else 0)

    def encode_image_embeddings(self) -> str:
        """The prior's result as text, see `variation.encode_image_embeddings`; "" before the decoder."""
        embeddings = self.image_embeddings
        return "" if embeddings is None else encode_image_embeddings(embeddings[0].float().cpu().numpy())
