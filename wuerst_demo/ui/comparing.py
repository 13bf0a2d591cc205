"""From two axes to a board that fills: a comparison checked, run and told, cell by cell.

Its cells are requests of one picture each, all of one visitor, `TOGETHER` of them in the engine at a time: they share
their steps with each other and with everybody's, and the visitor has one person's turns. A comparison goes on while
somebody follows it; whoever comes back to it goes on where it stood.

Does not know Gradio, nor who comes back to what (see `comparisons`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from wuerst_demo.errors import Busy, StorageError, UserError, WuerstError
from wuerst_demo.events import Event, Progress, Queued, Result
from wuerst_demo.ui.drawing import APART, OUR_FAULT, Clock, State, place, written
from wuerst_demo.ui.grid import Cell, Grid, plan
from wuerst_demo.ui.progress import Tally, kept, waiting
from wuerst_demo.ui.studio import Studio, Ticket

log = logging.getLogger(__name__)

TOGETHER = 8
"""Cells in the engine at a time: half of what one visitor may have in line, so that there is room for a drawing."""
ELSEWHERE = "This comparison goes on in another window of this browser."


@dataclass(frozen=True)
class Asked:
    """What somebody wants compared: a request's untrusted `values` by field name, and two axes, each a name ("" for
    none) and its values as typed. See `grid.plan`."""

    values: Mapping[str, object]
    across: tuple[str, str]
    down: tuple[str, str]


@dataclass(frozen=True)
class Tile:
    """What has become of one cell: `path` where it is done, and `message`, why there is none, where it failed."""

    state: Literal["waiting", "done", "failed"] = "waiting"
    path: Path | None = None
    message: str = ""


@dataclass(frozen=True)
class Board:
    """What there is to show at one moment. `tiles` are those of the grid's cells, in their order.

    The files exist as long as the comparison is kept. `fraction` is how much of the work is done, 0 to 1, and never
    falls.
    """

    state: State
    message: str
    fraction: float = 0.0
    grid: Grid | None = None
    tiles: tuple[Tile, ...] = ()

    @property
    def over(self) -> bool:
        return self.state not in ("waiting", "drawing")

    @property
    def files(self) -> dict[int, Path]:
        """The files of the finished cells, by number."""
        return {number: tile.path for number, tile in enumerate(self.tiles) if tile.path}

    def put(self, number: int, tile: Tile) -> Board:
        return replace(self, tiles=(*self.tiles[:number], tile, *self.tiles[number + 1 :]))


def check(studio: Studio, asked: Asked) -> Grid:
    """The comparison, where it can be drawn; UserError, with the remedy, where a value or a prompt cannot be taken."""
    grid = plan(studio.limits, asked.values, asked.across, asked.down)
    for prompt in dict.fromkeys(cell.request.prompt for cell in grid.cells):
        studio.read(prompt, grid.base.weighting)
    return grid


@dataclass(frozen=True)
class _Drawn:
    """A cell in the engine."""

    number: int
    cell: Cell
    ticket: Ticket


class Comparison:
    """One comparison of the visitor `owner`. One reader at a time follows it; others may stop it meanwhile.

    `board` is how it stands, `at` when that was last seen by anybody. Raises UserError as `check` does, and
    StorageError where there is no place for its files.
    """

    def __init__(self, studio: Studio, asked: Asked, owner: str, clock: Clock = time.monotonic, page: str = "") -> None:
        self.asked, self.page = asked, page
        grid = check(studio, asked)
        self.board = Board("waiting", "Waiting", grid=grid, tiles=(Tile(),) * len(grid.cells))
        self.at = self._since = clock()
        self._studio, self._owner, self._clock = studio, owner, clock
        self._files: TemporaryDirectory[str] = place()
        self._work = _Work.of(grid)
        self._lock = threading.Lock()  # around everything below; never held while somebody waits for an event
        self._reader: object = None
        self._spent = 0.0
        """Seconds for which it was followed, before `_since`."""
        self._stopped = self._ended = False
        self._waiting = deque(enumerate(grid.cells))
        self._drawn: deque[_Drawn] = deque()

    @property
    def over(self) -> bool:
        return self.board.over

    def follow(self) -> Iterator[Board]:
        """Boards from how it stands now to its end, the last one `over`. Whoever followed it before is told that it
        goes on elsewhere. Closing it leaves the cells in the engine to go on for as long as that lets them.

        Never raises for a fault of ours, which ends in a board with a message. Finished cells stay on the board
        whatever happens to the others.
        """
        me = object()
        self.at = self._clock()
        try:
            if not self.over:
                self._take_over(me)
            yield self.board
            if not self.over:
                yield from self._boards(me)
        except Busy as error:  # that is not its end: there may be room when somebody comes back
            yield replace(self.board, state="refused", message=str(error))
        except WuerstError as error:
            yield self._told(me, replace(self.board, state="refused", message=str(error)))
        except Exception:
            log.exception("A comparison failed.")
            yield self._told(me, replace(self.board, state="failed", message=OUR_FAULT))
        finally:
            self._leave(me)
            if self._ended:  # what was written meanwhile has made the folder anew
                self._files.cleanup()

    def stop(self) -> None:
        """Stops it within a step; who follows it hears so. Over already: no effect."""
        with self._lock:
            self._stopped = True
            self._waiting.clear()
            self._cancel()
            if self._reader is None and not self.over:
                self.board = _stopped(self.board)

    def end(self) -> None:
        """Stops it and lets go of its files."""
        self.stop()
        self._ended = True
        self._files.cleanup()

    def _boards(self, me: object) -> Iterator[Board]:
        shown = self._clock()
        while drawn := self._next(me):
            tally = Tally.start(drawn.cell.request)
            try:
                for event in drawn.ticket:
                    before = self.board
                    if isinstance(event, Progress):
                        tally = tally.moved(event)
                    board = self._told(me, self._after(drawn, event, tally))
                    if board.tiles != before.tiles or board.state != before.state or self._clock() - shown >= APART:
                        yield board
                        shown = self._clock()
            except StorageError:
                raise
            except UserError as error:  # of this cell alone: the others go on
                if not self._stopped:
                    self._told(me, self.board.put(drawn.number, Tile("failed", message=str(error))))
            self._settle(me, drawn)
        if self._reader is not me:
            yield replace(self.board, state="stopped", message=ELSEWHERE)
        elif self._stopped:
            yield self._told(me, _stopped(self.board))
        else:
            message = _finished(self.board, self._spent + self._clock() - self._since)
            yield self._told(me, replace(self.board, state="done", message=message, fraction=1.0))

    def _after(self, drawn: _Drawn, event: Event, tally: Tally) -> Board:
        board, number = self.board, drawn.number
        match event:
            case Queued():
                return replace(board, state="waiting", message=waiting(event))
            case Progress():
                reached = self._work.fraction(self._numbers(), tally.fraction * self._work.whole[number])
                message = f"{len(board.files)} of {len(board.tiles)} pictures, {tally.sentence}"
                return replace(board, state="drawing", message=message, fraction=max(board.fraction, reached))
            case Result() if board.tiles[number].state != "done":
                return board.put(number, Tile("done", written(self._studio, event, Path(self._files.name))))
        return board

    def _told(self, me: object, board: Board) -> Board:
        """The board, which is how it stands from now on if it is this reader's to tell."""
        with self._lock:
            if self._reader is me:
                self.board, self.at = board, self._clock()
        return board

    def _take_over(self, me: object) -> None:
        """Makes this reader the one who follows. A cell that the engine does not know any more is drawn again."""
        with self._lock:
            if self._reader is None:
                self._since = self._clock()
            self._reader, before = me, tuple(self._drawn)
            self._drawn.clear()
            lost = []
            for drawn in before:
                drawn.ticket.close()
                if self.board.tiles[drawn.number].state == "done":
                    self._work = self._work.without(drawn.number)
                    continue
                try:
                    self._drawn.append(replace(drawn, ticket=self._studio.engine.attach(drawn.ticket.id, self._owner)))
                except UserError:
                    lost.append((drawn.number, drawn.cell))
            if not self._stopped:
                self._waiting.extendleft(reversed(lost))

    def _next(self, me: object) -> _Drawn | None:
        """The cell to be read next, with as many others as may be in the engine beside it; None where there is none,
        or for somebody else. Raises UserError as the engine's `submit` does."""
        with self._lock:
            if self._reader is not me:
                return None
            while self._waiting and len(self._drawn) < TOGETHER:
                number, cell = self._waiting[0]
                try:
                    ticket = self._studio.engine.submit(cell.request, self._owner)
                except Busy:
                    if not self._drawn:
                        raise
                    break  # there is room again when one of ours is done
                self._drawn.append(_Drawn(number, cell, ticket))
                self._waiting.popleft()
            return self._drawn[0] if self._drawn else None

    def _settle(self, me: object, drawn: _Drawn) -> None:
        """The cell has been read to its end, unless somebody else reads it now."""
        with self._lock:
            if self._reader is not me:
                return
            self._drawn.popleft()
            drawn.ticket.close()
            self._work = self._work.without(drawn.number)
            reached = self._work.fraction([each.number for each in self._drawn], 0)
            self.board = replace(self.board, fraction=max(self.board.fraction, reached))

    def _leave(self, me: object) -> None:
        with self._lock:
            if self._reader is not me:
                return
            self._reader = None
            self._spent += self._clock() - self._since
            for drawn in self._drawn:
                drawn.ticket.close()
            if self._stopped and not self.over:
                self.board = _stopped(self.board)
            if self.over:
                self._cancel()

    def _cancel(self) -> None:
        """Stops what is in the engine. Under the lock."""
        for drawn in self._drawn:
            self._studio.engine.cancel(drawn.ticket.id, self._owner)

    def _numbers(self) -> list[int]:
        with self._lock:
            return [drawn.number for drawn in self._drawn]


@dataclass(frozen=True)
class _Work:
    """How much of all cells is done, in evaluations. Cells in the engine go side by side: what is known of the one
    that is read counts for all of them."""

    whole: tuple[int, ...]
    ended: frozenset[int] = field(default_factory=frozenset)

    @classmethod
    def of(cls, grid: Grid) -> _Work:
        return cls(tuple(cell.request.prior_steps + cell.request.decoder_steps + 1 for cell in grid.cells))

    def without(self, number: int) -> _Work:
        """The work once this cell is done with."""
        return replace(self, ended=self.ended | {number})

    def fraction(self, drawn: list[int], evaluations: float) -> float:
        ended = sum(self.whole[number] for number in self.ended)
        going = sum(min(evaluations, self.whole[number]) for number in drawn if number not in self.ended)
        return (ended + going) / sum(self.whole)


def _stopped(board: Board) -> Board:
    return replace(board, state="stopped", message=kept(len(board.files)))


def _finished(board: Board, seconds: float) -> str:
    done, whole = len(board.files), len(board.tiles)
    if done < whole:
        return f"{done} of {whole} pictures in {seconds:.1f} s; the others say why they are missing."
    return f"{'1 picture' if whole == 1 else f'{whole} pictures'} in {seconds:.1f} s"
