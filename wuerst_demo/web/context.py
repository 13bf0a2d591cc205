"""What the page works with: a checkpoint's description, an engine, and functions on prompts and images.

The page knows no network and no pipeline: `cli.page` fills a `WebContext` with the real ones, tests with fakes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from PIL.Image import Image

from wuerst_demo.checkpoints.capabilities import CheckpointInfo
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.ticket import Ticket
from wuerst_demo.engine.zerogpu import GeneratorEngine, GeneratorTicket
from wuerst_demo.events import Event, Result
from wuerst_demo.fleet.fleet import Fleet
from wuerst_demo.history.store import HistoryStore
from wuerst_demo.request import Limits, Request
from wuerst_demo.web.shared.prompt_reads import PromptReads


class WeightedText(Protocol):
    """A passage of a prompt and its weight; 1 is plain text."""

    @property
    def text(self) -> str: ...
    @property
    def weight(self) -> float: ...


class PromptReadout(Protocol):
    """A parsed prompt."""

    @property
    def words(self) -> Sequence[WeightedText]: ...
    @property
    def tokens(self) -> int:
        """Tokens of the text encoder that the prompt takes."""

    @property
    def limit(self) -> int:
        """Tokens that the encoder takes at once."""

    @property
    def beyond(self) -> str:
        """The text beyond the limit."""

    @property
    def notes(self) -> Sequence[str]: ...


RunRequest = Callable[[Request, str], Iterator[Event]]
"""Generates a request of a session. Closing the iterator cancels it within a step."""
AnyEngine = Engine[Any] | GeneratorEngine | Fleet
"""Generates the requests of all clients; see `Engine`."""
AnyTicket = Ticket | GeneratorTicket
"""The client's handle of one request; see `Ticket`."""


ParsePrompt = Callable[[str, bool], PromptReadout]
"""Parses a prompt, with or without weighting, without running a network. Raises PromptError."""


ReadPicture = Callable[[Request], bytes | None]
"""Reads a small picture of a request, as an encoded file; None without one."""


class SaveImage(Protocol):
    """Writes a finished image with its request, and any further PNG texts, to a folder. Raises StorageError."""

    def __call__(self, result: Result, folder: Path, /, *, texts: Mapping[str, str] = ...) -> Path: ...


class SaveAnimation(Protocol):
    """Writes the images of a request as an animated file with the request to a folder. Raises StorageError."""

    def __call__(self, images: Sequence[Image], request: Request, folder: Path, /) -> Path: ...


@dataclass(frozen=True)
class WebContext:
    """Everything the page uses."""

    checkpoint: CheckpointInfo
    engine: AnyEngine
    parse_prompt: ParsePrompt
    save_image: SaveImage
    save_animation: SaveAnimation
    device: str
    """Name of the device, shown to users."""
    revision: str = ""
    """Revision of the checkpoint, shown to users."""
    runtime: Mapping[str, str] = field(default_factory=dict)
    """How the server runs, for the foot of the page: values by name."""
    fleet_status: Callable[[], str] | None = None
    """The replicas in a line; None where this process generates."""
    history: HistoryStore | None = None
    """Store of finished images; None where they are not kept."""
    prompt_reads: PromptReads = field(default_factory=PromptReads, compare=False)
    """Bounds for the parsing of prompts while users type."""
    example_picture: ReadPicture = lambda request: None
    """Encoded WebP of an example's request; None where there is none yet."""
    pause_idle_work: Callable[[], AbstractContextManager[None]] = nullcontext
    """Context manager in whose block nothing is generated that nobody waits for."""

    @property
    def limits(self) -> Limits:
        return self.checkpoint.limits
