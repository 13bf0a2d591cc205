"""One denoising step of a batch, and what is recorded of each image on its way: times, previews, latent estimates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic

from wuerst_demo.engine.interface import Pipeline, StateT
from wuerst_demo.engine.preview_budget import PreviewBudget, preview_interval_s
from wuerst_demo.errors import UserError
from wuerst_demo.events import Progress, Result, StageLatents

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


class ImageProgress(Generic[StateT]):
    """State of one image and the record of its steps."""

    def __init__(self, state: StateT, images: int, keep_latents: bool) -> None:
        """`images` is the number of images in its request."""
        self.number = state.index
        self.state = state
        self.keep_latents = keep_latents
        """Whether the latent estimate of every step is kept for the Result."""
        self.goes_alone = False
        """Whether it may have made a batch fail, so that it is retried alone."""
        self.preview_due_at = float("-inf")
        """Clock time from which it should have its next preview."""
        self._preview_interval_s = preview_interval_s(images)
        self._preview: bytes | None = None
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._estimates: defaultdict[str, list[NDArray[np.float32]]] = defaultdict(list)

    def add_time(self, stage: str, seconds: float) -> None:
        self._seconds[stage] += seconds

    def add_preview(self, preview: bytes, now: float) -> None:
        self._preview, self.preview_due_at = preview, now + self._preview_interval_s

    def add_estimate(self, estimate: NDArray[np.float32]) -> None:
        """Keeps the estimate of the clean latents, (channels, height, width), of a step from the current state."""
        self._estimates[self.state.stage].append(estimate)

    def to_progress(self, before: StateT, remaining_s: float | None) -> Progress:
        """Event for one more evaluation; `before` is the state before it."""
        return Progress(self.number, before.stage, before.step + 1, before.total_steps, self._preview, remaining_s)

    def to_result(self, picture: Image, total_s: float) -> Result:
        """Event for the finished image, `total_s` seconds after the first step of its request began."""
        state, kept = self.state, self._estimates
        latents = StageLatents(tuple(kept["prior"]), tuple(kept["decoder"])) if self.keep_latents else None
        seconds = {**self._seconds, "total": total_s}
        embeddings = state.encode_image_embeddings()
        return Result(self.number, picture, state.request, seconds, state.notes, latents, embeddings)


def denoise(
    images: Sequence[ImageProgress[StateT]],
    pipeline: Pipeline[StateT],
    previews: PreviewBudget[StateT],
    clock: Callable[[], float],
) -> tuple[Sequence[StateT | UserError], float]:
    """Next states of images of one key, and the seconds that they took, previews excluded.

    Records previews and estimates in the images. Raises as the pipeline does, and records nothing then.
    """
    start = clock()
    states = pipeline.step([image.state for image in images])
    if len(states) != len(images):
        raise RuntimeError(f"the pipeline returned {len(states)} states for {len(images)} images")
    good = [(image, state) for image, state in zip(images, states, strict=True) if not isinstance(state, UserError)]
    kept = [(image, state) for image, state in good if image.keep_latents]
    estimates = pipeline.estimate_latents([state for _, state in kept]) if kept else []
    seconds = clock() - start
    for (image, _), estimate in zip(kept, estimates, strict=True):
        image.add_estimate(estimate)
    due_at = [image.preview_due_at for image, _ in good]
    made = previews.make_previews([state for _, state in good], due_at, seconds)
    for (image, _), preview in zip(good, made, strict=True):
        if preview is not None:
            image.add_preview(preview, clock())
    return states, seconds
