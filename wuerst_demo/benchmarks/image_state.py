"""Image states without latents, for pipelines of benchmarks that compute nothing."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from wuerst_demo.events import Stage
from wuerst_demo.request import Request


@dataclass(frozen=True)
class EmptyImageState:
    """See `engine.interface.ImageState`."""

    index: int
    request: Request
    stage: Stage
    step: int
    total_steps: int
    notes: tuple[str, ...] = ()

    @classmethod
    def begin(cls, request: Request) -> list[EmptyImageState]:
        """The states of a request's images before their first step."""
        return [cls(k, request.image(k), "prior", 0, request.prior_steps) for k in range(request.images)]

    @property
    def key(self) -> Hashable:
        return self.stage, self.request.width, self.request.height

    def encode_image_embeddings(self) -> str:
        return ""

    def advance(self) -> EmptyImageState:
        """The state one evaluation further; after a network's last, in the next stage."""
        if self.step + 1 < self.total_steps:
            return replace(self, step=self.step + 1)
        if self.stage == "prior":
            return replace(self, stage="decoder", step=0, total_steps=self.request.decoder_steps)
        return replace(self, stage="vqgan", step=0, total_steps=1)
