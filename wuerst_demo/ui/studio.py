"""What the page is given: everything it can do, as functions, and nothing about how they are done.

The page knows no engine, no network and no checkpoint. `app.py` fills a `Studio` with the real ones, tests with
arithmetic.

Does not know Gradio or torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from wuerst_demo.events import Event, Result
from wuerst_demo.history.history import History
from wuerst_demo.request import Limits, Request


class Word(Protocol):
    """A stretch of the prompt and the weight it was read with; 1 is plain text."""

    @property
    def text(self) -> str: ...
    @property
    def weight(self) -> float: ...


class Reading(Protocol):
    """How a prompt was read: its words with their weights, and how many of the encoder's tokens they take."""

    @property
    def words(self) -> Sequence[Word]: ...
    @property
    def tokens(self) -> int: ...
    @property
    def limit(self) -> int: ...
    @property
    def beyond(self) -> str: ...
    @property
    def notes(self) -> Sequence[str]: ...


class Draw(Protocol):
    """Draws a request; closing the iterator stops it within a step."""

    def __call__(self, request: Request, session: str, /) -> Iterator[Event]: ...


class Ticket(Protocol):
    """The events of one request, for the one who asked. Ends with Done, or raises the UserError that says why not."""

    @property
    def id(self) -> str: ...
    @property
    def request(self) -> Request: ...
    def __iter__(self) -> Iterator[Event]: ...
    def __next__(self) -> Event: ...
    def cancel(self) -> None:
        """Stops the request; the ticket ends with Cancelled, after every Result that there is."""

    def close(self) -> None:
        """Stops reading, in whatever thread; the request goes on as long as the engine lets it."""


class Engine(Protocol):
    """Draws for everybody. `session` is an unguessable name for one visitor: it owns what it submitted."""

    def submit(self, request: Request, session: str, stages: bool = False, /) -> Ticket:
        """With `stages`, results have their `events.Stages`, where the engine can keep them. Raises Busy where there is
        no room, and other UserErrors."""

    def attach(self, id: str, session: str, /) -> Ticket:
        """The ticket of a request that nobody reads at the moment. UserError where the session has no such request."""

    def cancel(self, id: str, session: str, /) -> None:
        """Stops a request of this session; no effect on any other."""

    def estimate(self, request: Request, /) -> float | None:
        """Seconds that the request would take if it came now; None where that is not known."""

    @property
    def standing(self) -> Mapping[str, int]:
        """Everybody's pictures that are not drawn yet, counted by where they stand."""


class Read(Protocol):
    """Reads a prompt, `weighting` on or off, without touching the networks. Raises PromptError."""

    def __call__(self, prompt: str, weighting: bool, /) -> Reading: ...


class Save(Protocol):
    """Writes a finished picture with its request, and any further PNG texts, into a folder and says where.

    Raises StorageError.
    """

    def __call__(self, result: Result, folder: Path, /, *, texts: Mapping[str, str] = ...) -> Path: ...


@dataclass(frozen=True)
class Studio:
    """Everything the page can do. `checkpoint`, its `revision` and `device` are shown to the visitor as they are.

    `knows` lists the words and phrases of a small checkpoint, the names of its `things` first; empty where it is not
    known what a checkpoint has never seen. `running` says how the server runs, by name, for the foot of the page.
    """

    limits: Limits
    engine: Engine
    read: Read
    save: Save
    checkpoint: str
    device: str
    examples: tuple[str, ...] = ()
    knows: tuple[str, ...] = ()
    things: int = 0
    revision: str = ""
    running: Mapping[str, str] = field(default_factory=dict)
    history: History | None = None
    """Where finished pictures are kept and found again; None where nothing is kept."""
