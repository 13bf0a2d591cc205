"""What happens to a request while it runs: the events that every engine yields and every face shows.

Does not know torch or Gradio. Pictures are PIL images; nothing here opens or writes a file.
"""

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
"""Where an image stands: the prior (Stage C) composes, the decoder (Stage B) draws, the VQGAN (A) makes pixels."""


@dataclass(frozen=True)
class Queued:
    """The request waits. `position` counts from 1 (next); `wait` is in seconds, None where unknown."""

    position: int
    wait: float | None = None


@dataclass(frozen=True)
class Progress:
    """Image `image` (from 0) has done `step` of `of` evaluations of `stage`.

    `preview` is the newest small encoded picture (JPEG bytes, at most 256 pixels on its longer side, to be shown in the
    picture's size) of the image, the same bytes until there is a newer one; None before the first. `rest` is how long
    the whole request will still take, in seconds, None while that is not known.
    """

    image: int
    stage: Stage
    step: int
    of: int
    preview: bytes | None = None
    rest: float | None = None


@dataclass(frozen=True, eq=False)
class Stages:
    """What prior and decoder made of one image, kept on the host for the page's explanation where that was asked for.

    Each array is the estimate of the clean latents after one evaluation, in the order of the steps: (16, h, w) for the
    prior, (4, h, w) for the decoder, float32, in the networks' own units. No side is longer than 64 positions; larger
    latents are averaged down by a whole factor.
    """

    prior: tuple[NDArray[np.float32], ...]
    decoder: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class Result:
    """Image `image` (from 0) is finished. `request` draws it alone; `seconds` has the time per stage and "total"."""

    image: int
    picture: Image
    request: Request
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """Plain sentences about how the prompt was read, such as what lies beyond the token limit."""
    stages: Stages | None = None


@dataclass(frozen=True)
class Done:
    """The request has ended; every image has had its Result. `seconds` is the wall time from first step to last."""

    seconds: float


Event = Queued | Progress | Result | Done
