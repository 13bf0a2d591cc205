"""Pipeline whose steps take a fixed time and no processor, whatever the batch: a device as fast as its clock."""

from __future__ import annotations

import platform
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wuerst_demo import __version__
from wuerst_demo.benchmarks.image_state import EmptyImageState
from wuerst_demo.fleet.server import LoadedReplica
from wuerst_demo.fleet.wire import ReplicaDescription
from wuerst_demo.request import Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SHORT_STEP_SHARE = 0.05
"""Time of a prompt and of the VQGAN, which are done one by one, as a share of a step's."""
PREVIEW_BYTES = 4096
"""What a preview takes on its way to the page. It begins with the time at which it was made."""
_TIME = struct.Struct("d")


@dataclass(frozen=True)
class SimulatedPipeline:
    """Gives grey images of the requested size."""

    step_s: float

    def begin(self, request: Request) -> list[EmptyImageState]:
        time.sleep(SHORT_STEP_SHARE * self.step_s)
        return EmptyImageState.begin(request)

    def step(self, images: Sequence[EmptyImageState]) -> list[EmptyImageState]:
        time.sleep(self.step_s)
        return [image.advance() for image in images]

    def finish(self, images: Sequence[EmptyImageState]) -> list[Image]:
        from PIL import Image

        time.sleep(SHORT_STEP_SHARE * self.step_s)
        return [Image.new("RGB", (image.request.width, image.request.height)) for image in images]

    def estimate_latents(self, images: Sequence[EmptyImageState]) -> list[NDArray[np.float32]]:
        raise NotImplementedError("a simulated device has no latents")

    def render_previews(self, images: Sequence[EmptyImageState]) -> list[bytes]:
        return [_TIME.pack(time.time()).ljust(PREVIEW_BYTES, b"\0") for _ in images]

    def empty_cache(self) -> None:
        """Nothing to free."""

    def health_check(self) -> None:
        """Always responds."""


def preview_age_s(preview: bytes) -> float:
    """Seconds since a simulated device made it, in any process of this machine."""
    return time.time() - float(_TIME.unpack_from(preview)[0])


@dataclass(frozen=True)
class LoadSimulated:
    """Loads a replica with a simulated device, as `fleet.ray_cluster` asks for one."""

    step_s: float

    def __call__(self, threads: int) -> LoadedReplica:
        description = ReplicaDescription("simulated", f"Steps of {self.step_s:g} s.", platform.node(), __version__)
        return LoadedReplica(SimulatedPipeline(self.step_s), description)
