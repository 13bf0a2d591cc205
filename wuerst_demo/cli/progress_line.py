"""Progress of a request on standard error: one line that is rewritten on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TextIO

from wuerst_demo.events import Done, Event, Progress, Queued, Result
from wuerst_demo.request import Request

PLAIN_LINE_INTERVAL_S = 30.0
"""Time between two plain lines. The first one comes this long after the first step: an early failure is one line."""


class ProgressLine:
    """The progress line of a stream: rewritten in place on a terminal, else repeated every PLAIN_LINE_INTERVAL_S."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._is_terminal = stream.isatty()
        self._last_line_at: float | None = None
        self._on_screen = False
        self._pending = ""

    def show(self, text: str) -> None:
        """Show what is happening now."""
        if self._is_terminal:
            self._stream.write(f"\r\x1b[K{text}")
            self._on_screen = True
        elif self._last_line_at is None:
            self._last_line_at = self._clock()
        elif self._clock() - self._last_line_at >= PLAIN_LINE_INTERVAL_S:
            self._stream.write(self._take_pending() + text + "\n")
            self._last_line_at = self._clock()
        self._stream.flush()

    def show_on_terminal(self, text: str) -> None:
        """Show what happens before the first step; nothing elsewhere."""
        if self._is_terminal:
            self.show(text)

    def clear(self) -> None:
        """Make room for other lines."""
        if self._on_screen:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._on_screen = False

    def close(self) -> None:
        """Leave no line half written."""
        self.clear()

    def write(self, text: str) -> None:
        """Write a line that stays."""
        self.clear()
        self._stream.write(self._take_pending() + text + "\n")
        self._stream.flush()

    def announce(self, text: str) -> None:
        """Write a line that stays; outside a terminal only before the next one, so that a failure is one line."""
        if self._is_terminal:
            self.write(text)
        else:
            self._pending += text + "\n"

    def _take_pending(self) -> str:
        pending, self._pending = self._pending, ""
        return pending


def show_progress(events: Iterator[Event], request: Request, line: ProgressLine) -> Iterator[Result]:
    """The results among `events` as they come; `line` shows stage, step and percentage in between."""
    evaluations = request.images * (request.prior_steps + request.decoder_steps + 1)
    done = 0
    finished = 0
    for event in events:
        match event:
            case Queued(position=position):
                line.show(f"Waiting, position {position}")
            case Progress(index=index, stage=stage, step=step, total_steps=total_steps):
                done += 1
                picture = f"Picture {index + 1} of {request.images}: " if request.images > 1 else ""
                percent = 100 * min(done, evaluations) // evaluations
                line.show(f"{picture}{stage}, step {step} of {total_steps} ({percent} %)")
            case Result():
                finished += 1
                yield event
            case Done(seconds=seconds):
                line.write(f"{finished} {'picture' if finished == 1 else 'pictures'} in {seconds:.1f} s")
