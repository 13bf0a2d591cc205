"""From two axes to a board that fills: a comparison checked, run and told, cell by cell.

Its cells are requests of one picture each, all of one visitor, `TOGETHER` of them in the engine at a time: they share
their steps with each other and with everybody's, and the visitor has one person's turns. `compare` is a generator:
closing it, which Stop and a closed tab do, stops the cells that are being drawn.

Does not know Gradio.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from wuerst_demo.errors import Busy, StorageError, UserError, WuerstError
from wuerst_demo.events import Progress, Queued, Result
from wuerst_demo.ui.drawing import APART, OUR_FAULT, State, place, written
from wuerst_demo.ui.grid import Cell, Grid, plan
from wuerst_demo.ui.progress import Tally, waiting
from wuerst_demo.ui.studio import Studio, Ticket

log = logging.getLogger(__name__)

TOGETHER = 8
"""Cells in the engine at a time: half of what one visitor may have in line, so that there is room for a drawing."""


@dataclass(frozen=True)
class Tile:
    """What has become of one cell: `path` where it is done, and `message`, why there is none, where it failed."""

    state: Literal["waiting", "done", "failed"] = "waiting"
    path: Path | None = None
    message: str = ""


@dataclass(frozen=True)
class Board:
    """What there is to show at one moment. `tiles` are those of the grid's cells, in their order.

    The files exist until the generator that yielded the board is closed or exhausted. `fraction` is how much of the
    work is done, 0 to 1, and never falls.
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


def compare(
    studio: Studio,
    values: Mapping[str, object],
    across: tuple[str, str],
    down: tuple[str, str],
    session: str,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Board]:
    """Boards of one comparison, the last one `over`. See `grid.plan` for `values`, `across` and `down`.

    Never raises for a mistake of the visitor's or a fault of ours: both end in a board with a message. Finished cells
    stay on it whatever happens to the others.
    """
    board = Board("waiting", "Waiting")
    with ExitStack() as stack:
        try:
            grid = check(studio, values, across, down)
            board = replace(board, grid=grid, tiles=(Tile(),) * len(grid.cells))
            yield board
            folder = Path(stack.enter_context(place()))
            crew = stack.enter_context(_Crew(studio, grid, session))
            for seen in _boards(board, crew, studio, folder, clock):
                board = seen
                yield board
        except WuerstError as error:
            yield replace(board, state="refused", message=str(error))
        except Exception:
            log.exception("A comparison failed.")
            yield replace(board, state="failed", message=OUR_FAULT)


def check(studio: Studio, values: Mapping[str, object], across: tuple[str, str], down: tuple[str, str]) -> Grid:
    """The comparison, where it can be drawn; UserError, with the remedy, where a value or a prompt cannot be taken."""
    grid = plan(studio.limits, values, across, down)
    for prompt in dict.fromkeys(cell.request.prompt for cell in grid.cells):
        studio.read(prompt, grid.base.weighting)
    return grid


class _Crew:
    """The cells in the engine and those that have not gone in yet. Leaving it stops what is being drawn."""

    def __init__(self, studio: Studio, grid: Grid, session: str) -> None:
        self._engine, self._session = studio.engine, session
        self._waiting = deque(enumerate(grid.cells))
        self._drawn: deque[tuple[int, Cell, Ticket]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for _, _, ticket in self._drawn:
            ticket.cancel()
            ticket.close()

    def __iter__(self) -> Iterator[tuple[int, Cell, Ticket]]:
        """The cells in their order, each with its ticket to be read to its end. Raises UserError as `submit` does."""
        while self._waiting or self._drawn:
            self._fill()
            yield self._drawn[0]
            self._drawn.popleft()[2].close()

    @property
    def drawn(self) -> list[int]:
        """The numbers of the cells that are in the engine."""
        return [number for number, _, _ in self._drawn]

    def _fill(self) -> None:
        while self._waiting and len(self._drawn) < TOGETHER:
            number, cell = self._waiting[0]
            try:
                ticket = self._engine.submit(cell.request, self._session)
            except Busy:
                if not self._drawn:
                    raise
                return  # there is room again when one of ours is done
            self._drawn.append((number, cell, ticket))
            self._waiting.popleft()


@dataclass(frozen=True)
class _Work:
    """How much of all cells is done, in evaluations. Cells in the engine go side by side: what is known of the one
    that is read counts for all of them."""

    whole: tuple[int, ...]
    ended: frozenset[int] = field(default_factory=frozenset)

    @classmethod
    def of(cls, grid: Grid) -> _Work:
        return cls(tuple(cell.request.prior_steps + cell.request.decoder_steps + 1 for cell in grid.cells))

    def fraction(self, drawn: list[int], evaluations: float) -> float:
        ended = sum(self.whole[number] for number in self.ended)
        going = sum(min(evaluations, self.whole[number]) for number in drawn if number not in self.ended)
        return (ended + going) / sum(self.whole)


def _boards(board: Board, crew: _Crew, studio: Studio, folder: Path, clock: Callable[[], float]) -> Iterator[Board]:
    assert board.grid is not None
    work, begun, shown = _Work.of(board.grid), clock(), clock()
    for number, cell, ticket in crew:
        tally = Tally.start(cell.request)
        try:
            for event in ticket:
                before = board
                match event:
                    case Queued():
                        board = replace(board, state="waiting", message=waiting(event))
                    case Progress():
                        tally = tally.moved(event)
                        reached = work.fraction(crew.drawn, tally.fraction * work.whole[number])
                        board = replace(board, state="drawing", message=_said(board, tally.sentence))
                        board = replace(board, fraction=max(board.fraction, reached))
                    case Result():
                        board = board.put(number, Tile("done", written(studio, event, folder)))
                if board.tiles != before.tiles or board.state != before.state or clock() - shown >= APART:
                    yield board
                    shown = clock()
        except StorageError:
            raise
        except UserError as error:  # of this cell alone: the others go on
            board = board.put(number, Tile("failed", message=str(error)))
        work = replace(work, ended=work.ended | {number})
        board = replace(board, fraction=max(board.fraction, work.fraction(crew.drawn, 0)))
    yield replace(board, state="done", message=_ended(board, clock() - begun), fraction=1.0)


def _said(board: Board, sentence: str) -> str:
    return f"{len(board.files)} of {len(board.tiles)} pictures, {sentence}"


def _ended(board: Board, seconds: float) -> str:
    done, whole = len(board.files), len(board.tiles)
    if done < whole:
        return f"{done} of {whole} pictures in {seconds:.1f} s; the others say why they are missing."
    return f"{'1 picture' if whole == 1 else f'{whole} pictures'} in {seconds:.1f} s"
