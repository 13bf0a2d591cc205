"""Choice of the replica for an image: where it would be finished first. Pure functions of what is known of replicas.

None stands for "not known yet": a part of the work has not been measured so far.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wuerst_demo.engine.timing import estimate_step_s
from wuerst_demo.fleet.wire import StepSeconds
from wuerst_demo.timesteps import guided_evaluations

if TYPE_CHECKING:
    from wuerst_demo.request import Request

ImageSize = tuple[int, int]
"""Width and height: images of one size can share a forward pass."""
MAX_SIZES_FACTOR = 2
"""Images of all sizes that a replica works on, in batches: so many sizes can go on in turns with full batches."""
AHEAD_FACTOR = 2
"""Images that a replica is given for each that it works on: the next ones are there when a batch is finished. Coming
only then, the last would be a step behind the first, and the batch would split at each change of the stage."""
TIE_RATIO = 1.05
"""Replicas whose estimates differ by less are considered equal."""


def image_size(request: Request) -> ImageSize:
    return request.width, request.height


WorkKind = tuple[ImageSize, tuple[bool, ...], tuple[bool, ...]]
"""Equal for images that take the same steps: their size, and whether each evaluation of both networks is guided."""


def work_kind(request: Request) -> WorkKind:
    prior, decoder = (tuple(guided_evaluations(request, stage)) for stage in ("prior", "decoder"))
    return image_size(request), prior, decoder


@dataclass(frozen=True)
class ReplicaLoad:
    """Images that a replica has been given, by size, and how long its steps take."""

    name: str
    max_batch_size: int
    counts: Mapping[ImageSize, int] = field(default_factory=dict)
    step_seconds: StepSeconds = field(default_factory=dict)
    _finish_s: dict[WorkKind, float | None] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def images(self) -> int:
        return sum(self.counts.values())

    def works_on_another(self, size: ImageSize) -> bool:
        """Whether it begins another image of this size at once: one batch of each, and two of all together."""
        return self._has_room(size, self.max_batch_size)

    def has_room(self, size: ImageSize) -> bool:
        """Whether it is given another image of this size, to begin now or next."""
        return self._has_room(size, AHEAD_FACTOR * self.max_batch_size)

    def _has_room(self, size: ImageSize, max_images: int) -> bool:
        return self.counts.get(size, 0) < max_images and self.images < MAX_SIZES_FACTOR * max_images

    def with_image(self, size: ImageSize) -> ReplicaLoad:
        counts = Counter(self.counts)
        counts[size] += 1
        return replace(self, counts=counts)

    def finish_s(self, request: Request, kind: WorkKind | None = None) -> float | None:
        """Seconds in which it would finish one more image of this request's size; `kind` is that of the request.

        The image shares its steps with those of its size, or waits for them where they fill batches. Each other size
        gets as many steps as it needs itself, and prompts and VQGAN are done one by one.
        """
        kind = kind or work_kind(request)
        if kind not in self._finish_s:
            self._finish_s[kind] = self._compute_finish_s(request)
        return self._finish_s[kind]

    def _compute_finish_s(self, request: Request) -> float | None:
        size = image_size(request)
        steps_s = self._steps_s(request, size, self.counts.get(size, 0) + 1)
        text_s, vqgan_s = self._step_s("text", (0, 0), 1), self._step_s("vqgan", size, 1)
        if steps_s is None or text_s is None or vqgan_s is None:
            return None
        total_s = steps_s + (self.images + 1) * (text_s + vqgan_s)
        for other, count in self.counts.items():
            if other != size and count:
                other_s = self._steps_s(request, other, count)
                total_s += steps_s if other_s is None else min(steps_s, other_s)
        return total_s

    def _steps_s(self, request: Request, size: ImageSize, images: int) -> float | None:
        """All steps of so many images of a size, batch after batch, with the request's numbers of steps."""
        if images > self.max_batch_size:
            full, rest = divmod(images, self.max_batch_size)
            batch_s = self._steps_s(request, size, self.max_batch_size)
            rest_s = self._steps_s(request, size, rest) if rest else 0.0
            return None if batch_s is None or rest_s is None else full * batch_s + rest_s
        total_s = 0.0
        for stage in ("prior", "decoder"):
            for guided, steps in Counter(guided_evaluations(request, stage)).items():
                step_s = self._step_s(stage, size, images * (1 + guided))
                if step_s is None:
                    return None
                total_s += steps * step_s
        return total_s

    def _step_s(self, stage: str, size: ImageSize, samples: int) -> float | None:
        by_samples = self.step_seconds.get((stage, *size))
        return estimate_step_s(by_samples, samples) if by_samples else None


def choose_replica(request: Request, loads: Sequence[ReplicaLoad]) -> ReplicaLoad | None:
    """The replica that would finish an image first; of equal ones the one with most images of its size, which share
    their steps with it. Without measurements, the one with the fewest images. None if none has room."""
    size = image_size(request)
    open_loads = [load for load in loads if load.has_room(size)]
    if not open_loads:
        return None
    kind = work_kind(request)
    finish_s = {load.name: load.finish_s(request, kind) for load in open_loads}
    known = [seconds for seconds in finish_s.values() if seconds is not None]
    if len(known) < len(open_loads):
        return min(open_loads, key=lambda load: load.images)
    limit_s = TIE_RATIO * min(known)
    fastest = [load for load in open_loads if (finish_s[load.name] or 0.0) <= limit_s]
    return max(fastest, key=lambda load: (load.counts.get(size, 0), -load.images))


def completion_s(request: Request, loads: Sequence[ReplicaLoad]) -> float | None:
    """Seconds in which all images of a request would be finished if the replicas had it now, as far as there is room:
    the rest follows as fast as the fleet finishes such images."""
    left, longest_s = request.images, 0.0
    current = {load.name: load for load in loads}
    while left and (chosen := choose_replica(request, list(current.values()))):
        seconds = chosen.finish_s(request)
        if seconds is None:
            return None
        longest_s = max(longest_s, seconds)
        current[chosen.name] = chosen.with_image(image_size(request))
        left -= 1
    if not left:
        return longest_s
    rate = images_per_s(request, loads)
    return longest_s + left / rate if rate else None


def images_per_s(request: Request, loads: Sequence[ReplicaLoad]) -> float:
    """Images of a request's kind that these replicas finish a second when all are busy with them; 0 if not known."""
    rate = 0.0
    for load in loads:
        full = ReplicaLoad(
            load.name, load.max_batch_size, {image_size(request): load.max_batch_size - 1}, load.step_seconds
        )
        if seconds := full.finish_s(request):
            rate += load.max_batch_size / seconds
    return rate
