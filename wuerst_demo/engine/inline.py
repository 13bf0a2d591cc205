"""Runs a request's rows in the caller's thread: for the command line, and where no thread may outlive a call.

Does not know torch, the model or who shows the events. Several threads may run requests at once: they take turns by
steps, and nothing is held while a caller looks at an event, so a generator left lying blocks nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from wuerst_demo.engine.batching import together
from wuerst_demo.engine.rows import Cascade, R
from wuerst_demo.engine.turns import Turns
from wuerst_demo.errors import UserError
from wuerst_demo.events import Done, Event, Progress, Result

if TYPE_CHECKING:
    from wuerst_demo.request import Request

A = TypeVar("A")
B = TypeVar("B")


class Inline(Generic[R]):
    """Steps the rows of a request together, at most `rows_at_once` of them in one forward pass."""

    def __init__(self, cascade: Cascade[R], rows_at_once: int = 8) -> None:
        self._cascade = cascade
        self._rows_at_once = rows_at_once
        self._turns = Turns()

    def run(self, request: Request, session: str = "") -> Iterator[Event]:
        """Progress after every step of every image, each Result as soon as it is there, then Done.

        Closing the generator stops the request: no step begins after that. A Result's seconds are those of the steps
        its image took part in, by stage ("text" first), and "total" since the request began. `session` makes no
        difference here: requests take turns by steps, whoever asks.

        Raises UserError where the device has too little memory, and whatever `begin` raises. A picture that cannot be
        shown does not keep the others from coming: its UserError is raised after their results, in place of Done.
        """
        start = time.perf_counter()
        begun, spent = self._turn(self._cascade.begin, request, request)
        rows = list(begun)
        clocks: dict[int, dict[str, float]] = {row.image: {"text": spent} for row in rows}
        failures: list[UserError] = []
        while rows:
            # The rows in front are the furthest on: they finish, and show, before others begin.
            batch = together(rows, self._rows_at_once)
            stage = batch[0].stage
            if stage == "vqgan":
                batch = batch[:1]  # one by one: the first picture is seen sooner, and pixels take the most memory
            images = [row.image for row in batch]
            rows = [row for row in rows if row.image not in images]
            if stage == "vqgan":
                pictures, spent = self._turn(self._cascade.finish, batch, request)
            else:
                moved, spent = self._turn(self._cascade.step, batch, request)
                pictures, rows = [], [*moved, *rows]
            for row in batch:
                clocks[row.image][stage] = clocks[row.image].get(stage, 0.0) + spent
                yield Progress(row.image, stage, row.step + 1, row.of)
            for row, picture in zip(batch, pictures, strict=bool(pictures)):
                if isinstance(picture, UserError):
                    failures.append(picture)
                else:
                    seconds = {**clocks[row.image], "total": time.perf_counter() - start}
                    yield Result(row.image, picture, row.request, seconds, row.notes)
        if failures:
            raise failures[0]
        yield Done(time.perf_counter() - start)

    def _turn(self, work: Callable[[A], B], argument: A, request: Request) -> tuple[B, float]:
        """What `work` gives when the device is ours, and the seconds it took. UserError where memory runs out."""
        with self._turns.turn():
            start = time.perf_counter()
            try:
                return work(argument), time.perf_counter() - start
            except MemoryError:
                pass  # the error and the tensors its frames hold are let go before ours is raised
        raise UserError(
            f"The device has not enough memory for {request.images} of {request.width} x {request.height};"
            " choose fewer pictures or a smaller size."
        )
