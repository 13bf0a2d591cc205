"""Runs of a comparison: from its settings to a table that fills cell by cell.

Each cell is a request of one image. Up to MAX_CELLS_IN_ENGINE of them are in the engine at a time, where they share
denoising steps with each other and with everybody else's. A comparison runs while a page follows it; a page that
re-attaches goes on where it stood.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from wuerst_demo.errors import PromptError, QueueFull, StorageError, UserError
from wuerst_demo.events import Event, Moved, Progress, Queued, Result
from wuerst_demo.messages import Message, message
from wuerst_demo.prompt_lines import line_error
from wuerst_demo.web.compare.grid import Cell, Grid, plan_grid
from wuerst_demo.web.context import AnyTicket, WebContext
from wuerst_demo.web.shared.generation import create_image_folder, reattach, save_image
from wuerst_demo.web.shared.progress import ProgressTracker, count_text, queue_text, stopped_text
from wuerst_demo.web.shared.view import (
    MIN_VIEW_INTERVAL_S,
    OPENED_ELSEWHERE_MESSAGE,
    Clock,
    ErrorCatcher,
    View,
    end_with_error,
)

MAX_CELLS_IN_ENGINE = 8
"""Half of the images that one client may have in the queue, so that there is room for a generation."""


@dataclass(frozen=True)
class ComparisonRequest:
    """What to compare, unvalidated. See `grid.plan_grid`."""

    values: Mapping[str, object]
    """A request's values by field name."""
    across: tuple[str, str]
    """Name of the axis, "" for none, and its values as typed."""
    down: tuple[str, str]


@dataclass(frozen=True)
class CellResult:
    """State of one cell."""

    state: Literal["waiting", "done", "failed"] = "waiting"
    path: Path | None = None
    """The image file of a finished cell."""
    message: str = ""
    """Why a cell failed."""


@dataclass(frozen=True)
class ComparisonView(View):
    """View of one comparison. Its `fraction` never falls."""

    grid: Grid | None = None
    results: tuple[CellResult, ...] = ()
    """One for each of the grid's cells, in their order."""

    @property
    def files(self) -> dict[int, Path]:
        """Files of the finished cells, by number. They exist as long as the comparison is kept."""
        return {number: result.path for number, result in enumerate(self.results) if result.path}

    def with_result(self, number: int, result: CellResult) -> ComparisonView:
        return replace(self, results=(*self.results[:number], result, *self.results[number + 1 :]))


def validate_comparison(context: WebContext, request: ComparisonRequest) -> Grid:
    """The grid of a comparison. Raises UserError for invalid values and for prompts that cannot be parsed."""
    grid = plan_grid(context.limits, request.values, request.across, request.down)
    prompts = ((cell.request.prompt, cell.request.weighting, cell.line) for cell in grid.cells)
    for prompt, weighting, line in dict.fromkeys(prompts):
        try:
            context.parse_prompt(prompt, weighting)
        except PromptError as error:
            raise (line_error(line, error) if line else error) from error
    return grid


@dataclass(frozen=True)
class _SubmittedCell:
    """A cell in the engine."""

    number: int
    cell: Cell
    ticket: AnyTicket


class ComparisonRun:
    """One comparison of one client. One reader at a time follows it; other threads may stop it meanwhile.

    Raises UserError as `validate_comparison` does, and StorageError if there is no room for its files.
    """

    def __init__(
        self,
        context: WebContext,
        request: ComparisonRequest,
        session: str,
        clock: Clock = time.monotonic,
        page: str = "",
        address: str = "",
    ) -> None:
        self.request = request
        self.page = page
        """The page that submitted it."""
        grid = validate_comparison(context, request)
        self.view = ComparisonView("waiting", "Waiting", grid=grid, results=(CellResult(),) * len(grid.cells))
        self.seen_at = self._since = clock()
        """When the newest view was published."""
        self._context, self._session, self._address, self._clock = context, session, address, clock
        self._files: TemporaryDirectory[str] = create_image_folder()
        self._evaluations = tuple(cell.request.prior_steps + cell.request.decoder_steps + 1 for cell in grid.cells)
        self._lock = threading.RLock()  # around everything below; never held while waiting for an event
        self._reader: object = None
        self._elapsed_s = 0.0
        """How long it was followed before `_since`."""
        self._stopped = self._closed = False
        self._waiting = deque(enumerate(grid.cells))
        self._finished: set[int] = set()
        self._submitted: deque[_SubmittedCell] = deque()

    @property
    def over(self) -> bool:
        return self.view.over

    def follow(self) -> Iterator[ComparisonView]:
        """Views from the present one to the end, the last one `over`.

        An earlier reader gets OPENED_ELSEWHERE_MESSAGE as its last view. Closing the iterator does not cancel the cells
        in the engine. Never raises: an error ends in a view with a message, which keeps the finished cells.
        """
        reader = object()
        self.seen_at = self._clock()
        try:
            with ErrorCatcher() as caught:
                if not self.over:
                    self._take_over(reader)
                yield self.view
                if not self.over:
                    yield from self._follow_cells(reader)
            if caught.error:
                view = end_with_error(self.view, caught.error)
                # A full queue is not the end: there may be room when a page re-attaches.
                yield view if isinstance(caught.error, QueueFull) else self._publish(reader, view)
        finally:
            self._leave(reader)
            if self._closed:  # an image written meanwhile has made the folder again
                self._files.cleanup()

    def stop(self) -> None:
        """Cancels it within a step; the reader gets a last view. No effect if it is over."""
        with self._lock:
            self._stopped = True
            self._waiting.clear()
            self._cancel()
            if self._reader is None and not self.over:
                self.view = _stop_view(self.view)

    def close(self) -> None:
        """Cancels it and deletes its files."""
        self.stop()
        self._closed = True
        self._files.cleanup()

    def _follow_cells(self, reader: object) -> Iterator[ComparisonView]:
        shown_at = self._clock()
        while submitted := self._next(reader):
            progress = ProgressTracker.start(submitted.cell.request)
            try:
                for event in submitted.ticket:
                    before = self.view
                    if isinstance(event, Progress | Moved):
                        progress = progress.update(event)
                    view = self._publish(reader, self._apply_event(submitted, event, progress))
                    changed = view.results != before.results or view.state != before.state
                    if changed or self._clock() - shown_at >= MIN_VIEW_INTERVAL_S:
                        yield view
                        shown_at = self._clock()
            except StorageError:
                raise
            except UserError as error:  # of this cell alone: the others go on
                if not self._stopped:
                    failed = CellResult("failed", message=error.message)
                    self._publish(reader, self.view.with_result(submitted.number, failed))
            self._finish_cell(reader, submitted)
        if self._reader is not reader:
            yield replace(self.view, state="stopped", message=OPENED_ELSEWHERE_MESSAGE)
        elif self._stopped:
            yield self._publish(reader, _stop_view(self.view))
        else:
            text = _done_text(self.view, self._elapsed_s + self._clock() - self._since)
            yield self._publish(reader, replace(self.view, state="done", message=text, fraction=1.0))

    def _apply_event(self, submitted: _SubmittedCell, event: Event, progress: ProgressTracker) -> ComparisonView:
        view, number = self.view, submitted.number
        match event:
            case Queued():
                return replace(view, state="waiting", message=queue_text(event))
            case Progress() | Moved():
                fraction = self._fraction(progress.fraction * self._evaluations[number])
                text = message(
                    "{done} of {total} pictures, {progress}",
                    done=len(view.files),
                    total=len(view.results),
                    progress=progress.text,
                )
                return replace(view, state="running", message=text, fraction=fraction)
            case Result() if view.results[number].state != "done":
                path = save_image(self._context, event, Path(self._files.name))
                return view.with_result(number, CellResult("done", path))
        return view

    def _publish(self, reader: object, view: ComparisonView) -> ComparisonView:
        """Makes `view` the present one, if it comes from the present reader."""
        with self._lock:
            if self._reader is reader:
                self.view, self.seen_at = view, self._clock()
        return view

    def _take_over(self, reader: object) -> None:
        """Makes `reader` the present one. Cells that the engine has forgotten are submitted again."""
        with self._lock:
            if self._reader is None:
                self._since = self._clock()
            self._reader, before = reader, tuple(self._submitted)
            self._submitted.clear()
            lost = []
            for submitted in before:
                if self.view.results[submitted.number].state == "done":
                    submitted.ticket.close()
                    self._finished.add(submitted.number)
                elif ticket := reattach(self._context.engine, submitted.ticket, self._session):
                    self._submitted.append(replace(submitted, ticket=ticket))
                else:
                    lost.append((submitted.number, submitted.cell))
            if not self._stopped:
                self._waiting.extendleft(reversed(lost))

    def _next(self, reader: object) -> _SubmittedCell | None:
        """The next cell to read, after filling the engine; None at the end, or if there is a newer reader.

        Raises UserError as the engine's `submit` does.
        """
        with self._lock:
            if self._reader is not reader:
                return None
            while self._waiting and len(self._submitted) < MAX_CELLS_IN_ENGINE:
                number, cell = self._waiting[0]
                try:
                    ticket = self._context.engine.submit(cell.request, self._session, address=self._address)
                except QueueFull:
                    if not self._submitted:
                        raise
                    break  # there is room again when one of these is done
                self._submitted.append(_SubmittedCell(number, cell, ticket))
                self._waiting.popleft()
            return self._submitted[0] if self._submitted else None

    def _finish_cell(self, reader: object, submitted: _SubmittedCell) -> None:
        """Removes a cell that has been read to its end, unless another reader has it now."""
        with self._lock:
            if self._reader is not reader:
                return
            self._submitted.popleft()
            submitted.ticket.close()
            self._finished.add(submitted.number)
            self.view = replace(self.view, fraction=self._fraction(0))

    def _leave(self, reader: object) -> None:
        with self._lock:
            if self._reader is not reader:
                return
            self._reader = None
            self._elapsed_s += self._clock() - self._since
            for submitted in self._submitted:
                submitted.ticket.close()
            if self._stopped and not self.over:
                self.view = _stop_view(self.view)
            if self.over:
                self._cancel()

    def _cancel(self) -> None:
        """Cancels the cells in the engine. Needs the lock."""
        for submitted in self._submitted:
            self._context.engine.cancel(submitted.ticket.id, self._session)

    def _fraction(self, done: float) -> float:
        """Share of all evaluations, if each cell in the engine is `done` evaluations along; it never falls.

        These cells advance together, so the one that is read stands for all.
        """
        with self._lock:
            running = {each.number for each in self._submitted} - self._finished
            evaluations: float = sum(self._evaluations[number] for number in self._finished)
            evaluations += sum(min(done, self._evaluations[number]) for number in running)
        return max(self.view.fraction, evaluations / sum(self._evaluations))


def _stop_view(view: ComparisonView) -> ComparisonView:
    return replace(view, state="stopped", message=stopped_text(len(view.files)))


def _done_text(view: ComparisonView, seconds: float) -> Message:
    done, total = len(view.files), len(view.results)
    if done == total:
        return message("{pictures} in {seconds:.1f} s", pictures=count_text(total), seconds=seconds)
    return message(
        "{done} of {total} pictures in {seconds:.1f} s; the other cells say why they failed.",
        done=done,
        total=total,
        seconds=seconds,
    )
