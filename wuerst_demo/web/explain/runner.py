"""Runs of an explanation: images generated again with the result of every step, and a report on them.

The engine decides how long a run goes on while no page follows it; a page that re-attaches goes on where it stood.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from wuerst_demo.errors import Cancelled, UserError
from wuerst_demo.events import Moved, Progress, Queued, Result
from wuerst_demo.messages import message
from wuerst_demo.request import Request
from wuerst_demo.web.context import AnyEngine, AnyTicket
from wuerst_demo.web.shared.generation import create_image_folder, reattach
from wuerst_demo.web.shared.progress import ProgressTracker, queue_text
from wuerst_demo.web.shared.sessions import ClientTab, SessionStore
from wuerst_demo.web.shared.view import (
    MIN_VIEW_INTERVAL_S,
    OPENED_ELSEWHERE_MESSAGE,
    Clock,
    ErrorCatcher,
    View,
    end_with_error,
)

READY_STATUS = "The picture is generated again, and every step is kept for you to look at."
NO_STEPS_ERROR = "This server cannot keep intermediate steps, so there is nothing to show here."
RenderReport = Callable[[Sequence[Result]], str]
"""Renders the report, as HTML, on results with stages."""


@dataclass(frozen=True)
class ExplanationView(View):
    """View of one explanation."""

    report: str = ""
    """The report, as HTML, in the last view of a successful run."""


class ExplanationRun:
    """One explanation of one client. One reader at a time follows it; other threads may stop it meanwhile.

    `requests` are of one image each. Raises UserError as the engine's `submit` does, and StorageError if there is no
    room for the report.
    """

    def __init__(
        self,
        engine: AnyEngine,
        requests: Sequence[Request],
        render: RenderReport,
        session: str,
        clock: Clock = time.monotonic,
        page: str = "",
        address: str = "",
    ) -> None:
        self.requests = tuple(requests)
        self.page = page
        """The page that submitted it."""
        self.view = ExplanationView("waiting", "Waiting")
        """The newest one, without its report."""
        self.seen_at = clock()
        self._engine, self._render, self._session, self._clock, self._address = engine, render, session, clock, address
        self._files = create_image_folder()
        self._lock = threading.Lock()  # around `view` and `_reader`
        self._reader: object = None
        self._followed = False
        self._tickets = [self._submit(each) for each in self.requests]

    @property
    def over(self) -> bool:
        return self.view.over

    def follow(self) -> Iterator[ExplanationView]:
        """Views from the present one to the end, the last one `over`.

        An earlier reader gets OPENED_ELSEWHERE_MESSAGE as its last view. Closing the iterator does not cancel the
        requests. Never raises: an error ends in a view with a message.
        """
        reader = object()
        with self._lock:
            self._reader = reader
        self.seen_at = self._clock()
        if self.over:
            yield replace(self.view, report=self._read_report())
            return
        try:
            with ErrorCatcher() as caught:
                yield from self._follow_tickets(reader)
            if isinstance(caught.error, Cancelled):
                yield self._publish(reader, _stop_view(self.view))
            elif caught.error:
                yield self._publish(reader, end_with_error(self.view, caught.error))
        finally:
            with self._lock:
                if self._reader is reader:
                    self._reader = None

    def stop(self) -> None:
        """Cancels it within a step; the reader gets a last view. No effect if it is over."""
        for ticket in self._tickets:
            self._engine.cancel(ticket.id, self._session)
        with self._lock:
            if self._reader is None and not self.over:
                self.view = _stop_view(self.view)

    def close(self) -> None:
        """Cancels it and deletes its report."""
        self.stop()
        self._files.cleanup()

    def _submit(self, request: Request) -> AnyTicket:
        return self._engine.submit(request, self._session, True, address=self._address)

    def _follow_tickets(self, reader: object) -> Iterator[ExplanationView]:
        results, shown_at = list[Result](), float("-inf")
        if self._followed:  # what the engine has forgotten is generated once more: it will be the same
            before = zip(self._tickets, self.requests, strict=True)
            self._tickets = [
                reattach(self._engine, ticket, self._session) or self._submit(request) for ticket, request in before
            ]
        self._followed = True
        with ExitStack() as stack:
            for ticket in self._tickets:
                stack.callback(ticket.close)
            for ticket in self._tickets:
                progress = ProgressTracker.start(ticket.request)
                for event in ticket:
                    match event:
                        case Queued():
                            yield self._publish(reader, replace(self.view, state="waiting", message=queue_text(event)))
                        case Progress() | Moved():
                            progress = progress.update(event)
                            fraction = (len(results) + progress.fraction) / len(self.requests)
                            view = ExplanationView("running", progress.text, max(fraction, self.view.fraction))
                            if self._clock() - shown_at >= MIN_VIEW_INTERVAL_S:
                                yield self._publish(reader, view)
                                shown_at = self._clock()
                        case Result():
                            results.append(event)
        if self._reader is not reader:
            yield replace(self.view, state="stopped", message=OPENED_ELSEWHERE_MESSAGE)
            return
        if len(results) < len(self.requests) or any(each.stages is None for each in results):
            raise UserError(NO_STEPS_ERROR)
        report = self._render(results)
        with suppress(OSError):  # shown all the same, but a refreshed page will not find it
            self._report_path.write_text(report, encoding="utf-8")
        yield replace(self._publish(reader, ExplanationView("done", "Done", 1.0)), report=report)

    def _publish(self, reader: object, view: ExplanationView) -> ExplanationView:
        """Makes `view` the present one, if it comes from the present reader."""
        with self._lock:
            if self._reader is reader:
                self.view, self.seen_at = view, self._clock()
        return view

    @property
    def _report_path(self) -> Path:
        return Path(self._files.name, "report.html")

    def _read_report(self) -> str:
        with suppress(OSError):
            return self._report_path.read_text(encoding="utf-8")
        return ""


class ExplanationSessions(SessionStore[ExplanationRun]):
    """The explanations of all clients, to which reloaded pages re-attach. Thread-safe, as long as each browser tab is
    used by one client."""

    def __init__(self, engine: AnyEngine, render: RenderReport, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._engine, self._render = engine, render

    def explain(
        self, client: ClientTab, requests: Sequence[Request], page: str = "", address: str = ""
    ) -> Iterator[ExplanationView]:
        """Views of a new explanation, as `ExplanationRun.follow` gives them. Never raises.

        A rejected one leaves the previous one of the tab where it was.
        """
        with ErrorCatcher() as caught:
            run = ExplanationRun(self._engine, requests, self._render, client.owner, self._clock, page, address)
        if caught.error:
            yield end_with_error(ExplanationView("waiting", ""), caught.error)
            return
        self.add(client, run)
        yield from run.follow()


def _stop_view(view: ExplanationView) -> ExplanationView:
    return replace(view, state="stopped", message=message("Stopped. {status}", status=message(READY_STATUS)))
