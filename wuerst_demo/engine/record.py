"""What is remembered of one image on its way: its seconds by stage, its newest preview, its estimates where asked for.

Does not know rows' latents, threads or the device.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from wuerst_demo.engine.previews import apart
from wuerst_demo.events import Progress, Result, Stages

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from wuerst_demo.engine.rows import Row


class Record:
    """Of one of so many `images` of a request. `stages` says whether estimates are kept. `due` is from when on, by a
    clock, the image may have a preview."""

    def __init__(self, images: int, stages: bool) -> None:
        self.stages = stages
        self._apart = apart(images)
        self.due = float("-inf")
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._preview: bytes | None = None
        self._estimates: defaultdict[str, list[NDArray[np.float32]]] = defaultdict(list)

    def spend(self, stage: str, seconds: float) -> None:
        self._seconds[stage] += seconds

    def see(self, stage: str, preview: bytes | None, estimate: NDArray[np.float32] | None, now: float) -> None:
        """What there was to be seen of an evaluation in `stage`."""
        if preview is not None:
            self._preview, self.due = preview, now + self._apart
        if estimate is not None:
            self._estimates[stage].append(estimate)

    def progress(self, row: Row, rest: float | None) -> Progress:
        """That `row` has been through one more evaluation."""
        return Progress(row.image, row.stage, row.step + 1, row.of, self._preview, rest)

    def result(self, row: Row, picture: Image, total: float) -> Result:
        """That `row` is a picture, `total` seconds after its request began."""
        stages = Stages(tuple(self._estimates["prior"]), tuple(self._estimates["decoder"])) if self.stages else None
        return Result(row.image, picture, row.request, {**self._seconds, "total": total}, row.notes, stages)
