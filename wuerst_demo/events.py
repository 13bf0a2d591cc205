"""Events of a running request, as engines yield them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from wuerst_demo.request import Request

Stage = Literal["prior", "decoder", "vqgan"]
"""The network an image is in: prior (Stage C), decoder (Stage B) or VQGAN (Stage A)."""


@dataclass(frozen=True)
class Queued:
    """The request waits in the queue."""

    position: int
    """1 for the next one."""
    wait_s: float | None = None
    """Expected wait; None where unknown."""


@dataclass(frozen=True)
class Progress:
    """One image has completed a step."""

    index: int
    """Number of the image in its request, from 0."""
    stage: Stage
    step: int
    """Completed evaluations of the stage's network."""
    total_steps: int
    preview: bytes | None = None
    """Newest preview as JPEG, at most 256 pixels a side, to be scaled to the image's size; None before the first."""
    remaining_s: float | None = None
    """Expected time until the whole request is done; None where unknown."""


@dataclass(frozen=True, eq=False)
class StageLatents:
    """Estimates of an image's clean latents after each evaluation, recorded on request for the explanation.

    The arrays are in the networks' own units and on the host. Sides longer than 64 are averaged down by a whole factor.
    """

    prior: tuple[NDArray[np.float32], ...]
    """One array (16, h, w) a step."""
    decoder: tuple[NDArray[np.float32], ...]
    """One array (4, h, w) a step."""


@dataclass(frozen=True)
class Result:
    """One image is finished."""

    index: int
    """Number of the image in its request, from 0."""
    image: Image
    request: Request
    """Generates this image alone."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Time by stage, and "total"."""
    notes: tuple[str, ...] = ()
    """Sentences about how the prompt was parsed, such as what exceeds the token limit."""
    stages: StageLatents | None = None
    image_embeddings: str = ""
    """The prior's result as `variation.encode_image_embeddings` writes it; "" from a pipeline that keeps none."""


@dataclass(frozen=True)
class Moved:
    """One image begins again on another device, because its own has failed. It will be the same picture."""

    index: int
    """Number of the image in its request, from 0."""
    times: int
    """How often it has been moved so far."""


@dataclass(frozen=True)
class Done:
    """The request has ended: every image has had its Result."""

    seconds: float
    """Wall time from the first step to the last."""


Event = Queued | Progress | Moved | Result | Done
