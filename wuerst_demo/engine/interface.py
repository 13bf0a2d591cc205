"""Interfaces that the engine requires of a pipeline: the state of an image, and the steps that advance it.

The engine imports neither torch nor a pipeline. `wuerst_demo.pipeline.cascade` is the real one; the tests have a fake.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from wuerst_demo.errors import UserError
    from wuerst_demo.events import Stage
    from wuerst_demo.request import Request


class ImageState(Protocol):
    """Immutable state of one image: `step` of `total_steps` evaluations of the network `stage` are done."""

    @property
    def index(self) -> int:
        """Number of the image in its request, from 0."""

    @property
    def request(self) -> Request:
        """Request of this image alone."""

    @property
    def stage(self) -> Stage: ...
    @property
    def step(self) -> int: ...
    @property
    def total_steps(self) -> int: ...
    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the user about how the prompt was read."""

    @property
    def key(self) -> Hashable:
        """Equal for images that can share a forward pass."""

    def encode_image_embeddings(self) -> str:
        """The prior's result as text, once the prior has ended, see `Result.image_embeddings`."""


StateT = TypeVar("StateT", bound=ImageState)

DEFAULT_MAX_BATCH_SIZE = 8
"""Images in one forward pass, at most, unless an engine is given another number."""


class Pipeline(Protocol[StateT]):
    """Advances image states without changing them.

    Every method may raise MemoryError, after which it can be called again with the same states, and DeviceLost, after
    which all states are lost.
    """

    def begin(self, request: Request) -> Sequence[StateT]:
        """States of a request's images before their first step. Raises UserError if the prompt cannot be read."""

    def step(self, images: Sequence[StateT]) -> Sequence[StateT | UserError]:
        """One evaluation of prior or decoder for images of one key. Returns their next states in the same order, or
        the reason why an image has failed."""

    def finish(self, images: Sequence[StateT]) -> Sequence[Image | UserError]:
        """Decoded pictures of images of one key in stage "vqgan", or the reason why an image has failed."""

    def estimate_latents(self, images: Sequence[StateT]) -> Sequence[NDArray[np.float32]]:
        """Estimates of the clean latents, (channels, height, width) on the host, of states that `step` returned."""

    def render_previews(self, images: Sequence[StateT]) -> Sequence[bytes | None]:
        """Small encoded pictures of these estimates, None where there can be none."""

    def empty_cache(self) -> None:
        """Frees memory that is kept for reuse. Called after a MemoryError."""

    def health_check(self) -> None:
        """Raises DeviceLost, or any other error, if the device does not respond."""
