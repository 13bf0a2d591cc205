"""Runs a request's rows in the caller's thread: for the command line, and where no thread may outlive a call.

Does not know torch, the model or who shows the events. Several threads may run requests at once: they take turns by
steps, and nothing is held while a caller looks at an event, so a generator left lying blocks nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from wuerst_demo.engine import outlook
from wuerst_demo.engine.batching import together
from wuerst_demo.engine.pace import Pace, samples
from wuerst_demo.engine.record import Record
from wuerst_demo.engine.rows import ROWS_AT_ONCE, Cascade, R
from wuerst_demo.engine.steps import Step, Steps
from wuerst_demo.engine.turns import Turns
from wuerst_demo.errors import DeviceLost, UserError
from wuerst_demo.events import Done, Event

if TYPE_CHECKING:
    from wuerst_demo.request import Request

A = TypeVar("A")

LOST = "The device has failed; start the program again, and if it comes again, the computer."


class Inline(Generic[R]):
    """Steps the rows of a request together, at most `rows_at_once` of them in one forward pass."""

    def __init__(self, cascade: Cascade[R], rows_at_once: int = ROWS_AT_ONCE) -> None:
        self._cascade = cascade
        self._rows_at_once = rows_at_once
        self._turns = Turns()
        self._pace = Pace(rows_at_once)
        self._steps = Steps(cascade, time.perf_counter)

    def run(self, request: Request, session: str = "", stages: bool = False) -> Iterator[Event]:
        """Progress after every step of every image, each Result as soon as it is there, then Done.

        Closing the generator stops the request: no step begins after that. A Result's seconds are those of the steps
        its image took part in, by stage ("text" first), and "total" since the request began; with `stages`, it has its
        Stages. `session` makes no difference here: requests take turns by steps, whoever asks.

        Raises UserError where the device has too little memory or fails, and whatever `begin` raises. A picture that
        cannot be shown does not keep the others from coming: its UserError is raised after their results, in place of
        Done.
        """
        try:
            yield from self._events(request, stages)
            return
        except MemoryError:
            pass  # ours is raised after the handler: a chained error would keep the failed step's frames
        raise UserError(
            f"The device has not enough memory for {request.images} of {request.width} x {request.height};"
            " choose fewer pictures or a smaller size."
        )

    def _events(self, request: Request, stages: bool) -> Iterator[Event]:
        """As `run`, but raises MemoryError where a single row is too much. Of several, half go at a time from there."""
        start = time.perf_counter()
        rows, spent = self._turn("text", request, lambda: self._cascade.begin(request))
        waiting, at_once = list(rows), dict[Hashable, int]()
        records = {row.image: Record(request.images, stages) for row in rows}
        for record in records.values():
            record.spend("text", spent)
        failures: list[UserError] = []
        while waiting:
            # The rows in front are the furthest on: they finish, and show, before others begin.
            batch = together(waiting, at_once.get(waiting[0].key, self._rows_at_once))
            if batch[0].stage == "vqgan":
                batch = batch[:1]  # one by one: the first picture is seen sooner, and pixels take the most memory
            images = [row.image for row in batch]
            waiting = [row for row in waiting if row.image not in images]
            if batch[0].stage == "vqgan":
                pictures, spent = self._turn("vqgan", request, partial(self._cascade.finish, batch))
            else:
                try:
                    steps = self._stepped(batch, records, request)
                except MemoryError:
                    if len(batch) == 1:
                        raise
                    at_once[batch[0].key] = len(batch) // 2
                    waiting = [*batch, *waiting]
                    continue
                lost = [step.onward for step in steps if isinstance(step.onward, UserError)]
                batch = [row for row, step in zip(batch, steps, strict=True) if step.onward not in lost]
                moved = [step.onward for step in steps if not isinstance(step.onward, UserError)]
                pictures, waiting, failures = [], [*moved, *waiting], [*failures, *lost]
            rest = outlook.rest(waiting, request, self._pace, time.perf_counter() - start)
            for row in batch:
                yield records[row.image].progress(row, rest)
            for row, picture in zip(batch, pictures, strict=bool(pictures)):
                records[row.image].spend("vqgan", spent)
                if isinstance(picture, UserError):
                    failures.append(picture)
                else:
                    yield records[row.image].result(row, picture, time.perf_counter() - start)
        if failures:
            raise failures[0]
        yield Done(time.perf_counter() - start)

    def _stepped(self, batch: Sequence[R], records: Mapping[int, Record], request: Request) -> list[Step[R]]:
        """An evaluation of rows of one key, entered in their records."""
        stage, asked = batch[0].stage, [records[row.image] for row in batch]
        (steps, spent), _ = self._turn(None, request, lambda: self._steps.take(batch, asked))
        self._pace.note(stage, request, samples(stage, request) * len(batch), spent)
        now = time.perf_counter()
        for record, step in zip(asked, steps, strict=True):
            record.spend(stage, spent)
            record.see(stage, step.preview, step.estimate, now)
        return steps

    def _turn(self, stage: str | None, request: Request, work: Callable[[], A]) -> tuple[A, float]:
        """What `work` gives when the device is ours, and the seconds it took, which count as `stage`'s where that is
        given. Raises MemoryError, with nothing kept for later, and UserError for a device that fails."""
        with self._turns.turn():
            start = time.perf_counter()
            try:
                made = work()
            except MemoryError:
                pass  # the error and the tensors its frames hold are let go before the cache is emptied
            except DeviceLost as error:
                raise UserError(LOST) from error
            else:
                spent = time.perf_counter() - start
                if stage is not None:
                    self._pace.note(stage, request, 1, spent)
                return made, spent
            self._cascade.relieve()
        raise MemoryError
