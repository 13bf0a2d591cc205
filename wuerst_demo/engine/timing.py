"""Running medians of step times, and the estimates made from them: remaining times and places in the queue.

None stands for "not known yet": a part of the work has not been measured so far.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from wuerst_demo.engine.interface import ImageState
from wuerst_demo.engine.request_state import RequestState
from wuerst_demo.engine.scheduler import Schedulable, count_turns
from wuerst_demo.events import Queued
from wuerst_demo.timesteps import guided_evaluations

if TYPE_CHECKING:
    from wuerst_demo.request import Request

MEDIAN_WINDOW = 31
"""Number of measurements in a median."""
MAX_TIMING_KEYS = 256
"""Kinds of work that are remembered; the least recently measured one is forgotten."""
_STAGES = ("prior", "decoder", "vqgan")
Evaluation = tuple[str, int]
"""Stage, and samples that one image takes."""
TimingKey = tuple[str, int, int]
"""Stage, width and height."""
RequestStates = Iterable[RequestState[Any]]


class TimingStats:
    """Times of steps by stage, image size and batch size, for an engine with batches of `max_batch_size` images."""

    def __init__(self, max_batch_size: int) -> None:
        self._max_batch_size = max_batch_size
        self._batches: dict[TimingKey, dict[int, deque[float]]] = {}  # seconds by number of samples
        self._medians: dict[TimingKey, dict[int, float]] = {}  # of these
        self._steps: deque[float] = deque(maxlen=MEDIAN_WINDOW)

    def record(self, stage: str, request: Request, samples: int, seconds: float) -> None:
        """Records a batch of `samples` samples of `request`'s size in `stage`; "text" counts as one sample."""
        key = _timing_key(stage, request)
        by_samples = self._batches.pop(key, {})
        by_samples.setdefault(samples, deque(maxlen=MEDIAN_WINDOW)).append(seconds)
        self._batches[key] = by_samples
        self._medians.setdefault(key, {})[samples] = median(by_samples[samples])
        if len(self._batches) > MAX_TIMING_KEYS:
            oldest = next(iter(self._batches))
            del self._batches[oldest], self._medians[oldest]
        self._steps.append(seconds)

    def medians(self) -> dict[TimingKey, dict[int, float]]:
        """Seconds of a step by stage, width and height, and by number of samples."""
        return {key: dict(self._medians[key]) for key in self._batches}

    # ------------------------------------------------------------------------- seconds with the device to themselves

    @property
    def step_s(self) -> float | None:
        """A step of any kind."""
        return median(self._steps) if self._steps else None

    def batch_s(self, stage: str, request: Request, samples: int) -> float | None:
        """A batch, from those measured, see `estimate_step_s`."""
        by_samples = self._medians.get(_timing_key(stage, request))
        return estimate_step_s(by_samples, samples) if by_samples else None

    def evaluations_s(self, request: Request, evaluations: Mapping[Evaluation, int]) -> float | None:
        """So many evaluations of each kind, of a request's images, which share their steps."""
        total_s = 0.0
        for (stage, samples), count in evaluations.items():
            images = 1 if stage == "vqgan" else min(request.images, self._max_batch_size)
            seconds = self.batch_s(stage, request, samples * images)
            if seconds is None:
                return None
            total_s += count * seconds / images
        return total_s

    def request_s(self, request: Request) -> float | None:
        """A whole request."""
        text_s = self.batch_s("text", request, 1)
        one_image = _remaining_evaluations(request, "prior")
        images_s = self.evaluations_s(request, {each: request.images * count for each, count in one_image.items()})
        return None if text_s is None or images_s is None else text_s + images_s

    def images_s(self, images: Iterable[ImageState], request: Request) -> float | None:
        """The rest of unfinished images of a request."""
        evaluations: Counter[Evaluation] = Counter()
        for state in images:
            evaluations += _remaining_evaluations(request, state.stage, state.step)
        return self.evaluations_s(request, evaluations)

    def rest_s(self, state: RequestState[Any]) -> float | None:
        """The rest of a request in the engine."""
        return self.request_s(state.request) if state.started_at is None else self.images_s(state.images, state.request)

    # --------------------------------------------------------------------------------- seconds beside other requests

    def remaining_s(
        self, images: Iterable[ImageState], request: Request, elapsed_s: float, slowdown: float
    ) -> float | None:
        """The rest of unfinished images of a request that began `elapsed_s` seconds ago, at its speed so far.

        The speed includes waiting for other requests. At the beginning there is little to measure, so the expected
        `slowdown`, duration divided by duration alone, counts as if a tenth of the request had been done at it.
        """
        left_s, alone_s = self.images_s(images, request), self.request_s(request)
        if left_s is None or alone_s is None:
            return None
        prior_s = alone_s / 10
        if not alone_s:
            return 0.0
        return left_s * max(1.0, (elapsed_s + prior_s * slowdown) / (max(0.0, alone_s - left_s) + prior_s))

    def completion_s(self, request: Request, states: RequestStates) -> float | None:
        """A request submitted now beside those in `states`: each other session gets as many steps as this one, or as
        many as it still needs."""
        own_s = self.request_s(request)
        if own_s is None:
            return None
        others_s: defaultdict[str, float] = defaultdict(float)
        for state in states:
            rest_s = self.rest_s(state)
            others_s[state.session] += own_s if rest_s is None else rest_s
        return own_s + sum(min(own_s, rest_s) for rest_s in others_s.values())

    def slowdown(self, request: Request, states: RequestStates) -> float:
        """Expected duration of a request submitted now, divided by its duration alone; 1 if not known."""
        alone_s, now_s = self.request_s(request), self.completion_s(request, states)
        return now_s / alone_s if alone_s and now_s else 1.0

    def queue_positions(
        self, states: RequestStates, items: Sequence[Schedulable], order: Sequence[str]
    ) -> Iterator[tuple[RequestState[Any], Queued]]:
        """For each request that waits for its first step: an upper bound of the turns before it, and their duration.

        `order` is the scheduler's order of sessions.
        """
        waiting = [state for state in states if not state.over and state.started_at is None]
        turns = count_turns(items, order) if waiting else {}
        step_s = self.step_s if waiting else None
        queued: Counter[str] = Counter()
        for state in waiting:
            first, between = turns[state.session]
            before = first + between * queued[state.session]
            queued[state.session] += 1
            yield state, Queued(before + 1, None if step_s is None else round(before * step_s, 1))


def estimate_step_s(by_samples: Mapping[int, float], samples: int) -> float:
    """Seconds of a step, from measured ones by number of samples: between two of these in proportion; more than the
    most take proportionally longer, fewer than the fewest the same time."""
    fewest, most = min(by_samples), max(by_samples)
    if not fewest <= samples <= most:
        return by_samples[fewest] if samples < fewest else by_samples[most] * samples / most
    fewer = max(each for each in by_samples if each <= samples)
    more = min(each for each in by_samples if each >= samples)
    share = (samples - fewer) / (more - fewer) if more > fewer else 0.0
    return by_samples[fewer] + share * (by_samples[more] - by_samples[fewer])


def sample_count(state: ImageState) -> int:
    """Samples of an image in its next forward pass: two with classifier-free guidance, else one."""
    return 1 + any(guided_evaluations(state.request, state.stage)[state.step : state.step + 1])


def _remaining_evaluations(request: Request, stage: str, step: int = 0) -> Counter[Evaluation]:
    """Evaluations of one image that has made `step` of those in `stage`."""
    ahead = _STAGES[_STAGES.index(stage) :]
    guided = {each: guided_evaluations(request, each)[step if each == stage else 0 :] for each in ahead}
    return Counter({("vqgan", 1): 1}) + Counter((each, 1 + flag) for each, flags in guided.items() for flag in flags)


def _timing_key(stage: str, request: Request) -> TimingKey:
    return (stage, 0, 0) if stage == "text" else (stage, request.width, request.height)
