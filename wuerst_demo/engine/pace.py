"""How long things take, from how long they took: running medians by stage, size of picture and size of batch.

Does not know rows, threads or people.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wuerst_demo.request import Request

LAST = 31
"""How many measurements a median is taken over."""
KINDS = 256
"""How many kinds of work are remembered; the one not met for longest is forgotten."""
Kind = tuple[str, int, int]


class Running:
    """The median of the last few numbers, worked out as they come; None before the first."""

    def __init__(self) -> None:
        self.median: float | None = None
        self._last: deque[float] = deque(maxlen=LAST)

    def add(self, number: float) -> None:
        self._last.append(number)
        self.median = median(self._last)


class Pace:
    """Remembers times and answers with medians, for an engine that takes `rows_at_once` rows in a batch.

    Seconds throughout; None is "not known yet".
    """

    def __init__(self, rows_at_once: int) -> None:
        self._rows_at_once = rows_at_once
        self._seen: dict[Kind, dict[int, Running]] = {}
        self._turns = Running()

    def note(self, stage: str, request: Request, samples: int, seconds: float) -> None:
        """A batch of `samples` samples of `request`'s size was `seconds` in `stage` ("text" counts as one)."""
        kind = _kind(stage, request)
        sizes = self._seen.pop(kind, {})
        sizes.setdefault(samples, Running()).add(seconds)
        self._seen[kind] = sizes
        if len(self._seen) > KINDS:
            del self._seen[next(iter(self._seen))]
        self._turns.add(seconds)

    @property
    def turn(self) -> float | None:
        """A turn of any kind."""
        return self._turns.median

    def seconds(self, stage: str, request: Request, samples: int) -> float | None:
        """A batch of that size, from the nearest one measured: a larger one takes more in proportion, a smaller one
        no less."""
        sizes = self._seen.get(_kind(stage, request))
        if not sizes:
            return None
        nearest = min(sizes, key=lambda size: abs(size - samples))
        measured = sizes[nearest].median
        return None if measured is None else measured * max(1.0, samples / nearest)

    def evaluations(self, request: Request, prior: int, decoder: int, vqgan: int) -> float | None:
        """So many evaluations of images of the request, which take theirs together, with the device to itself."""
        together = min(request.images, self._rows_at_once)
        whole = 0.0
        for stage, count, side_by_side in (
            ("prior", prior, together),
            ("decoder", decoder, together),
            ("vqgan", vqgan, 1),
        ):
            if count:
                seconds = self.seconds(stage, request, samples(stage, request) * side_by_side)
                if seconds is None:
                    return None
                whole += count * seconds / side_by_side
        return whole

    def alone(self, request: Request) -> float | None:
        """A whole request with the device to itself."""
        text, images = self.seconds("text", request, 1), request.images
        drawn = self.evaluations(request, images * request.prior_steps, images * request.decoder_steps, images)
        return None if text is None or drawn is None else text + drawn


def samples(stage: str, request: Request) -> int:
    """How many places one image of the request takes in a forward pass: a guided one takes two."""
    scale = {"prior": request.prior_guidance, "decoder": request.decoder_guidance}.get(stage, 0.0)
    return 2 if scale > 1 else 1


def _kind(stage: str, request: Request) -> Kind:
    return (stage, 0, 0) if stage == "text" else (stage, request.width, request.height)
