"""A running request in a terminal: one line that rewrites itself, or a few plain lines where nobody watches.

Does not know what draws, nor where pictures go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TextIO

from wuerst_demo.events import Done, Event, Progress, Queued, Result
from wuerst_demo.request import Request

PAUSE = 30.0
"""Seconds between two plain lines. The first comes as long after the first step, so that a run that fails before says
one thing."""


class Line:
    """A line of progress on `stream`: rewritten in place on a terminal, elsewhere repeated every `PAUSE` seconds."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._live = stream.isatty()
        self._last: float | None = None
        self._shown = False
        self._held = ""

    def show(self, text: str) -> None:
        """What is happening now."""
        if self._live:
            self._stream.write(f"\r\x1b[K{text}")
            self._shown = True
        elif self._last is None:
            self._last = self._clock()
        elif self._clock() - self._last >= PAUSE:
            self._stream.write(self._unheld() + text + "\n")
            self._last = self._clock()
        self._stream.flush()

    def wait(self, text: str) -> None:
        """What is being waited for before the first step; of no interest where nobody watches."""
        if self._live:
            self.show(text)

    def clear(self) -> None:
        """Make room for other lines."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False

    def say(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        self._stream.write(self._unheld() + text + "\n")
        self._stream.flush()

    def announce(self, text: str) -> None:
        """A line that stays; where nobody watches, it waits for the next one, so that a failure says one thing."""
        if self._live:
            self.say(text)
        else:
            self._held += text + "\n"

    def _unheld(self) -> str:
        held, self._held = self._held, ""
        return held


def watched(events: Iterator[Event], request: Request, line: Line) -> Iterator[Result]:
    """The results among `events`, each as it comes; meanwhile `line` tells stage, step and share of the whole."""
    of = request.images * (request.prior_steps + request.decoder_steps + 1)
    done = 0
    finished = 0
    for event in events:
        match event:
            case Queued(position=position):
                line.show(f"Waiting, number {position}")
            case Progress(image=image, stage=stage, step=step, of=steps):
                done += 1
                picture = f"Picture {image + 1} of {request.images}: " if request.images > 1 else ""
                line.show(f"{picture}{stage}, step {step} of {steps} ({100 * min(done, of) // of} %)")
            case Result():
                finished += 1
                yield event
            case Done(seconds=seconds):
                line.say(f"{finished} {'picture' if finished == 1 else 'pictures'} in {seconds:.1f} s")
