"""What travels between the page's process and a replica: plain data, and bytes in place of images and arrays.

Nothing of it holds a session's name, and nothing but a job a prompt. Errors are `UserError`s, whose texts quote none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wuerst_demo.engine.observer import ErrorKind, WorkStage
from wuerst_demo.errors import UserError
from wuerst_demo.events import Progress, Result, StageLatents
from wuerst_demo.request import Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

StepSeconds = Mapping[tuple[str, int, int], Mapping[int, float]]
"""Stage, width and height -> number of samples in a step -> its seconds."""
ArrayBytes = tuple[tuple[int, ...], bytes]
"""Shape and content of a float32 array."""


@dataclass(frozen=True)
class ReplicaDescription:
    """What a replica is, once it can generate."""

    device: str
    reason: str
    """Where it runs and why, in a line; see `Placement.reason`."""
    machine: str
    version: str
    """Of this package, where the replica runs."""
    runtime: Mapping[str, str] = field(default_factory=dict)
    """For the foot of the page: values by name."""


@dataclass(frozen=True)
class ImageJob:
    """One image to be generated. A second attempt is another job."""

    id: int
    request: Request
    """Of this image alone."""
    session: str
    """Equal for images of the same session; not the session itself."""
    address: str = ""
    """Likewise of its client's network address; "" where unknown."""
    keep_latents: bool = False
    live: bool = False
    among_others: bool = False
    """Whether other sessions have images in the fleet, so that more may follow at once."""


Command = ImageJob | int
"""For a replica: an image to submit, or the id of a job to cancel."""


@dataclass(frozen=True)
class ImageBytes:
    """A finished image: uncompressed pixels, row by row. Encoding it would take longer than sending it."""

    mode: str
    width: int
    height: int
    pixels: bytes
    seconds: Mapping[str, float]
    notes: tuple[str, ...]
    image_embeddings: str = ""
    prior_latents: tuple[ArrayBytes, ...] = ()
    decoder_latents: tuple[ArrayBytes, ...] = ()


@dataclass(frozen=True)
class StepRecord:
    """A step that succeeded, see `EngineObserver.stepped`."""

    stage: WorkStage
    images: int
    max_images: int
    seconds: float


@dataclass(frozen=True)
class Report:
    """News of a replica since its last report, by the id of the job. One without news is a sign of life."""

    progress: Mapping[int, Progress] = field(default_factory=dict)
    """The newest of each image; its preview is None where the last one still is the newest."""
    finished: Mapping[int, ImageBytes] = field(default_factory=dict)
    failed: Mapping[int, UserError] = field(default_factory=dict)
    steps: tuple[StepRecord, ...] = ()
    errors: tuple[ErrorKind, ...] = ()
    step_seconds: StepSeconds | None = None
    """All medians so far; None where they have not been sent again."""
    problem: str = ""
    """Why its engine has stopped; "" while it works."""
    memory: Mapping[str, float] = field(default_factory=dict)
    """Bytes in use by owner."""

    @property
    def shows_work(self) -> bool:
        """Whether its device has done something."""
        return bool(self.progress or self.finished or self.failed or self.steps or self.errors)


def pack_result(result: Result) -> ImageBytes:
    """A finished image for the way to the page. The request stays behind: the page knows it."""
    image, latents = result.image, result.stages
    return ImageBytes(
        image.mode,
        *image.size,
        image.tobytes(),
        dict(result.seconds),
        result.notes,
        result.image_embeddings,
        tuple(map(_pack_array, latents.prior)) if latents else (),
        tuple(map(_pack_array, latents.decoder)) if latents else (),
    )


def unpack_result(packed: ImageBytes, index: int, request: Request) -> Result:
    """The event for image number `index`, whose own request is `request`."""
    from PIL import Image

    image = Image.frombytes(packed.mode, (packed.width, packed.height), packed.pixels)
    latents = None
    if packed.prior_latents or packed.decoder_latents:
        latents = StageLatents(
            tuple(map(_unpack_array, packed.prior_latents)), tuple(map(_unpack_array, packed.decoder_latents))
        )
    return Result(index, image, request, packed.seconds, packed.notes, latents, packed.image_embeddings)


def without_known_preview(progress: Progress, known: bytes | None) -> Progress:
    """The event as it is sent: without its preview if the page has that already."""
    return replace(progress, preview=None) if progress.preview == known else progress


def _pack_array(array: NDArray[np.float32]) -> ArrayBytes:
    return array.shape, array.tobytes()


def _unpack_array(packed: ArrayBytes) -> NDArray[np.float32]:
    import numpy as np

    shape, content = packed
    return np.frombuffer(content, np.float32).reshape(shape)
