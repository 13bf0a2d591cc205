"""Executor of one engine step: runs a batch and handles its failures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Generic

from wuerst_demo.engine.interface import Pipeline, StateT
from wuerst_demo.engine.observer import EngineObserver, ErrorKind
from wuerst_demo.engine.out_of_memory import BatchLimits, out_of_memory, wait_for_memory
from wuerst_demo.engine.preview_budget import PreviewBudget
from wuerst_demo.engine.request_state import RequestState, WorkItem
from wuerst_demo.engine.steps import denoise
from wuerst_demo.engine.timing import TimingStats, sample_count
from wuerst_demo.errors import DeviceLost, UserError

log = logging.getLogger(__name__)

FAULT_MESSAGE = "This failed because of an error (see the server's log); try again, or with other settings."


class StepExecutor(Generic[StateT]):
    """Runs batches of work in the caller's thread. The lock is held while request states change, not during work."""

    def __init__(
        self,
        pipeline: Pipeline[StateT],
        max_batch_size: int,
        timing: TimingStats,
        requests: Iterable[RequestState[StateT]],
        lock: AbstractContextManager[Any],
        clock: Callable[[], float],
        observer: EngineObserver,
    ) -> None:
        self.last_step_at: float | None = None
        """Clock time at which the last step ended, successful or not."""
        self._pipeline = pipeline
        self._batch_limits = BatchLimits(max_batch_size)
        self._timing = timing
        self._requests = requests
        self._lock = lock
        self._clock = clock
        self._observer = observer
        self._previews = PreviewBudget(pipeline, clock)

    def max_batch_size(self, image: StateT) -> int:
        """Images of this one's key in a batch, at most. Pictures are decoded one by one: the first is shown sooner, and
        they take the most memory."""
        return 1 if image.stage == "vqgan" else self._batch_limits.max_size(image.key)

    def execute(self, batch: Sequence[WorkItem[StateT]], in_caller: bool = False) -> None:
        """Runs work of one key and updates its requests; halves the batch as long as memory does not suffice.

        Images that fail together are retried one by one; one that fails alone ends its request. With `in_caller`,
        unexpected errors are raised instead, and no request waits for the memory of another.

        Raises DeviceLost, after which all image states are lost.
        """
        while batch:
            batch = self._attempt(batch, in_caller)

    def health_check(self) -> None:
        """Raises whatever the pipeline raises if the device does not respond; else frees unused memory."""
        self._pipeline.health_check()
        self._pipeline.empty_cache()

    def _attempt(self, batch: Sequence[WorkItem[StateT]], in_caller: bool) -> Sequence[WorkItem[StateT]]:
        """Runs a batch once. Returns the smaller batch to retry if memory did not suffice."""
        kind: ErrorKind | None = None
        error, results, seconds = None, None, 0.0
        try:
            results, seconds = self._run(batch)
        except MemoryError:
            kind = "memory"  # handled below, where the exception no longer holds the tensors of the failed step
        except DeviceLost:
            raise
        except UserError as raised:
            error = raised.with_traceback(None)  # which would hold the image states
        except Exception:
            if in_caller:
                raise
            log.exception("A step with %d images failed in %s.", len(batch), batch[0].stage)
            error, kind = UserError(FAULT_MESSAGE), "fault"
        if kind == "memory":
            self._pipeline.empty_cache()
        now = self._clock()
        with self._lock:
            self.last_step_at = now
            if kind:
                self._observer.erred(kind)
            if results is not None:
                self._batch_limits.count_success(batch[0].key, len(batch))
                self._update(batch, results, seconds, now)
            elif error:
                self._fail(batch, error, now)
            elif len(batch) > 1:
                return batch[: self._batch_limits.halve(batch[0].key, len(batch))]
            else:
                self._wait_or_fail(batch[0], in_caller, now)
        return []

    def _run(self, batch: Sequence[WorkItem[StateT]]) -> tuple[Sequence[Any], float]:
        """Results of the work (next states, pictures, or the states of a request's images) and its seconds."""
        images = [item.image for item in batch if item.image is not None]
        if batch[0].stage in ("prior", "decoder"):
            return denoise(images, self._pipeline, self._previews, self._clock)
        start = self._clock()
        if images:
            results: Sequence[Any] = self._pipeline.finish([image.state for image in images])
        else:
            results = self._pipeline.begin(batch[0].request.request)
        return results, self._clock() - start

    def _update(self, batch: Sequence[WorkItem[StateT]], results: Sequence[Any], seconds: float, now: float) -> None:
        """Records the results of a batch in its requests."""
        stage, first = batch[0].stage, batch[0].request
        samples = sum(1 if item.image is None else sample_count(item.image.state) for item in batch)
        self._observer.stepped(stage, len(batch), batch[0].max_batch_size, seconds)
        self._timing.record(stage, first.request, samples, seconds)
        if stage == "text":
            first.start(results, seconds, now)
            return
        stepped = [(item.request, item.image, item.image.state) for item in batch if item.image is not None]
        for (request, image, _), result in zip(stepped, results, strict=True):
            if isinstance(result, UserError):
                self._observer.erred("picture")
            if stage == "vqgan":
                request.add_picture(image, result, seconds, now, partial(self._remaining_s, request, now))
            else:
                request.add_step(image, result, seconds, now)
        if stage != "vqgan":
            for request, image, before in stepped:
                request.report_step(image, before, now, partial(self._remaining_s, request, now))

    def _remaining_s(self, request: RequestState[StateT], now: float) -> float | None:
        elapsed_s = 0.0 if request.started_at is None else now - request.started_at
        return self._timing.remaining_s(request.images, request.request, elapsed_s, request.slowdown)

    def _fail(self, batch: Sequence[WorkItem[StateT]], error: UserError, now: float) -> None:
        """Ends the request that caused an error if it is known; else each image of the batch is retried alone."""
        for item in batch:
            certain = len(batch) == 1 and str(error) != FAULT_MESSAGE  # a UserError would be the same again
            if item.image is None or certain:
                item.request.fail(error, now)
            else:
                item.request.fail_alone(item.image, error, now)

    def _wait_or_fail(self, item: WorkItem[StateT], in_caller: bool, now: float) -> None:
        """Handles lack of memory for a single image."""
        request = item.request
        if in_caller or item.image is None or not wait_for_memory(request, self._requests):
            request.fail(out_of_memory(request.request), now)
