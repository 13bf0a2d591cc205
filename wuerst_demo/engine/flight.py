"""One request between its submission and its end: its rows, their clocks, and the board that tells of it.

Starts no thread and takes no lock: whoever changes a flight holds the engine's, which is that of `news`. Does not know
which rows go next.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from threading import Condition
from typing import TYPE_CHECKING, Generic

from wuerst_demo.engine.board import Board
from wuerst_demo.engine.record import Record
from wuerst_demo.engine.rows import R
from wuerst_demo.engine.steps import Step
from wuerst_demo.engine.watch import Told, Work
from wuerst_demo.errors import Cancelled, UserError
from wuerst_demo.events import Done, Event

if TYPE_CHECKING:
    from PIL.Image import Image

    from wuerst_demo.request import Request


WAITS = 3
"""How many times a request waits for others' memory before it is held for too large."""


@dataclass(frozen=True, eq=False)
class Job(Generic[R]):
    """One evaluation of `row`, or, where there is none yet, reading the flight's prompt. See `batching.Job`."""

    flight: Flight[R]
    row: R | None
    owner: str
    rank: tuple[int, ...]
    key: Hashable
    room: int

    @property
    def stage(self) -> Work:
        return "text" if self.row is None else self.row.stage


class Flight(Generic[R]):
    """`number` is its place among all that were ever submitted. `news` is notified of everything new on the board.

    `reader` is a token of the one who reads, None while nobody does, which is so since `left_at`; `seen` says whether
    somebody has read it to its end. `came`, `begun`,
    `first` (its first picture) and `ended` are a clock's seconds too, None before. `stages` says whether results come
    with the estimates of their steps. `stretch` is how many times as long as alone it is expected to take, `rest` how
    long it was still expected to when that was last `looked` at.
    """

    def __init__(
        self,
        request: Request,
        owner: str,
        number: int,
        news: Condition,
        came: float = 0.0,
        stages: bool = False,
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        self.request = request
        self.owner = owner
        self.number = number
        self.news = news
        self.stages = stages
        self.stretch = 1.0
        self.rest: float | None = None
        self.looked = float("-inf")
        self.board = Board()
        self.reader: object | None = None
        self.left_at = 0.0
        self.seen = False
        self.ended: float | None = None
        self.begun: float | None = None
        self.came = came
        self.first: float | None = None
        self._rows: dict[int, R] = {}
        self._suspects: set[int] = set()
        self._records: dict[int, Record] = {}
        self._failures: list[UserError] = []
        self._behind: Sequence[Flight[R]] = ()
        self._waits = 0

    @property
    def over(self) -> bool:
        return self.board.over

    @property
    def rows(self) -> int:
        """Images that have not been drawn yet."""
        if self.over:
            return 0
        return self.request.images if self.begun is None else len(self._rows)

    @property
    def standing(self) -> Counter[str]:
        """Images that have not been drawn yet, by the stage they stand in; "waiting" before the prompt is read."""
        if self.begun is None:
            return Counter(waiting=self.rows)
        return Counter(row.stage for row in self._rows.values())

    @property
    def told(self) -> Told:
        """What became of it, once it is over."""
        error = self.board.error
        return Told(
            "done" if error is None else "cancelled" if isinstance(error, Cancelled) else "failed",
            None if self.begun is None else self.begun - self.came,
            None if self.first is None else self.first - self.came,
        )

    @property
    def flying(self) -> list[R]:
        """Its rows, once its prompt has been read."""
        return list(self._rows.values())

    def record(self, row: R) -> Record:
        """What is remembered of a row's image; a blank one where the flight has ended meanwhile."""
        return self._records.get(row.image) or Record(1, stages=False)

    def jobs(self, room: Callable[[R], int]) -> list[Job[R]]:
        """What can be done next. A prompt is read before older rows move on, so that these have company; a suspect
        row goes alone."""
        if self.over or self.waits:
            return []
        if self.begun is None:
            return [Job(self, None, self.owner, (0, self.number), (self.number,), 1)]
        return [
            Job(self, row, self.owner, (1, self.number, image), (self.number, image), 1)
            if image in self._suspects
            else Job(self, row, self.owner, (1, self.number, image), row.key, room(row))
            for image, row in self._rows.items()
        ]

    def begin(self, rows: Sequence[R], seconds: float, now: float) -> None:
        """The prompt was read, which took `seconds` and gave these rows."""
        if self.over:
            return
        self.begun = now - seconds
        self._rows = {row.image: row for row in rows}
        self._records = {row.image: Record(self.request.images, self.stages) for row in rows}
        for record in self._records.values():
            record.spend("text", seconds)
        self._settle(now)

    def step(self, row: R, step: Step[R], seconds: float, now: float) -> None:
        """`row` took part in an evaluation of `seconds`, of which this came. `tell` says so to the reader."""
        if not self._passed(row, seconds):
            return
        if isinstance(step.onward, UserError):
            self._lose(row, step.onward, now)
        else:
            self._records[row.image].see(row.stage, step.preview, step.estimate, now)
            self._rows[row.image] = step.onward

    def tell(self, row: R, rest: float | None) -> None:
        """Shows that `row` has been through an evaluation, and for how many seconds the request will still go on.
        Nothing of one that got no further."""
        if row.image in self._rows:
            self.put(self._records[row.image].progress(row, rest))

    def finish(self, row: R, picture: Image | UserError, seconds: float, rest: float | None, now: float) -> None:
        """`row` was decoded, which took `seconds`, into its picture, or into the reason why there is none. For `rest`
        seconds the request will still go on."""
        if not self._passed(row, seconds) or self.begun is None:
            return
        record = self._records[row.image]
        self.put(record.progress(row, rest))
        if isinstance(picture, UserError):
            self._lose(row, picture, now)
            return
        del self._rows[row.image]
        self.first = now if self.first is None else self.first
        self.put(record.result(row, picture, now - self.begun))
        self._settle(now)

    def suspect(self, row: R) -> bool:
        """Marks a row that may be why a batch failed. False where it went alone already, so that it is the one."""
        known = row.image in self._suspects
        self._suspects.add(row.image)
        return not known

    @property
    def waits(self) -> bool:
        """Whether it does nothing until one of those has ended who hold the memory that it needs."""
        return bool(self._behind) and not any(flight.over for flight in self._behind)

    def wait(self, others: Sequence[Flight[R]]) -> bool:
        """Lets it wait until one of these has ended. False where that has helped nothing `WAITS` times already."""
        if self._waits == WAITS:
            return False
        self._waits += 1
        self._behind = others
        return True

    def fail(self, error: UserError, now: float) -> None:
        """Ends, for this reason, unless it has ended. Its rows are let go."""
        if not self.over:
            self.board.fail(error)
            self._let_go(now)

    def put(self, event: Event) -> None:
        """Shows an event to the reader."""
        if self.board.put(event):
            self.news.notify_all()

    def _passed(self, row: R, seconds: float) -> bool:
        """Counts an evaluation. False where the flight has ended meanwhile."""
        if self.over:
            return False
        self._records[row.image].spend(row.stage, seconds)
        self._suspects.discard(row.image)
        self._waits = 0  # it has helped
        return True

    def _lose(self, row: R, error: UserError, now: float) -> None:
        """There will be no picture of `row`; the others of its request go on, and the reason is said at its end."""
        del self._rows[row.image]
        self._failures.append(error)
        self._settle(now)

    def _settle(self, now: float) -> None:
        if self._rows:
            return
        if self._failures:
            self.board.fail(self._failures[0])
        else:
            self.put(Done(now - (now if self.begun is None else self.begun)))
        self._let_go(now)

    def _let_go(self, now: float) -> None:
        self.ended = now
        self._rows, self._records, self._suspects, self._behind = {}, {}, set(), ()
        self.news.notify_all()
