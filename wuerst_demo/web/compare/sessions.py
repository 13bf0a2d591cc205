"""Comparisons of the page's clients, to which a reloaded page re-attaches: at most one for each browser tab."""

from __future__ import annotations

import time
from collections.abc import Iterator

from wuerst_demo.web.compare.runner import ComparisonRequest, ComparisonRun, ComparisonView
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.shared.sessions import ClientTab, SessionStore
from wuerst_demo.web.shared.view import Clock, ErrorCatcher, end_with_error


class ComparisonSessions(SessionStore[ComparisonRun]):
    """The comparisons of all clients. Thread-safe, as long as each browser tab is used by one client."""

    def __init__(self, context: WebContext, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._context = context

    def compare(
        self, client: ClientTab, request: ComparisonRequest, page: str = "", address: str = ""
    ) -> Iterator[ComparisonView]:
        """Views of a new comparison, as `ComparisonRun.follow` gives them. Never raises.

        A rejected comparison leaves the previous one of the tab where it was.
        """
        with ErrorCatcher() as caught:
            run = ComparisonRun(self._context, request, client.owner, self._clock, page, address)
        if caught.error:
            yield end_with_error(ComparisonView("waiting", ""), caught.error)
            return
        self.add(client, run)
        yield from run.follow()
