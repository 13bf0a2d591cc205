"""Pictures that a checkpoint has made of its example prompts, for the page before its first own picture.

They are small WebP files, named after their requests. A checkpoint may ship them; the others are generated while the
engine has nothing else to do, and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import io
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from wuerst_demo.checkpoints.capabilities import CheckpointInfo
from wuerst_demo.errors import UserError
from wuerst_demo.events import Event, Result
from wuerst_demo.request import Limits, Request
from wuerst_demo.web.shared.share_link import encode_link

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

SHIPPED_FOLDER = "examples"
"""Folder beside a checkpoint's decoder folder."""
EXAMPLE_COUNT = 8
FIRST_SEED = 1
"""Seed of the first example; the others count on."""
MAX_SIDE_PX = 256
WEBP_QUALITY = 80
IDLE_INTERVAL_S = 5.0
"""Time between two looks at the engine; it has to be idle at two in a row."""
MAX_FAILURES = 3
SESSION = "example pictures"


def list_example_requests(info: CheckpointInfo) -> tuple[Request, ...]:
    """The requests of a checkpoint's examples: at its default settings, each with a seed of its own."""
    examples = info.examples[:EXAMPLE_COUNT]
    return tuple(info.limits.request({"prompt": each, "seed": FIRST_SEED + k}) for k, each in enumerate(examples))


@dataclass(frozen=True)
class ExamplePictures:
    """The files of a checkpoint's example pictures."""

    shipped: Path | None
    """Folder of those that belong to the checkpoint; None without one."""
    cache: Path
    """Folder of those that were generated here."""

    def read(self, request: Request) -> bytes | None:
        """The picture of a request as encoded WebP; None where there is none yet."""
        for folder in filter(None, (self.shipped, self.cache)):
            with suppress(OSError):
                return (folder / file_name(request)).read_bytes()
        return None

    def write(self, request: Request, image: Image) -> None:
        """Keep a picture in the cache. Raises OSError."""
        self.cache.mkdir(parents=True, exist_ok=True)
        partial = self.cache / f"{file_name(request)}.part"
        partial.write_bytes(encode_picture(image))
        partial.replace(self.cache / file_name(request))


def file_name(request: Request) -> str:
    """The name of a request's picture. It does not change with fields that later versions add."""
    return hashlib.sha256(encode_link(request, Limits()).encode()).hexdigest()[:16] + ".webp"


def encode_picture(image: Image) -> bytes:
    """A small WebP file of an image, without metadata."""
    small = image.convert("RGB")
    small.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    encoded = io.BytesIO()
    small.save(encoded, "WEBP", quality=WEBP_QUALITY, method=6)
    return encoded.getvalue()


class IdleTicket(Iterator[Event], Protocol):
    """Events of a request; see `engine.ticket.Ticket`."""

    def cancel(self) -> None: ...
    def close(self) -> None: ...


class IdleEngine(Protocol):
    """What is needed of an engine; see `engine.engine.Engine`."""

    def submit(self, request: Request, session: str, *, live: bool) -> IdleTicket: ...
    @property
    def stage_counts(self) -> Any: ...


class IdleGenerator(threading.Thread):
    """Generates missing example pictures, one after the other, while nobody waits for the engine.

    As soon as somebody else's picture is in the engine, it cancels its own within a step and tries again later.
    """

    def __init__(
        self,
        engine: IdleEngine,
        pictures: ExamplePictures,
        requests: Sequence[Request],
        interval_s: float = IDLE_INTERVAL_S,
    ) -> None:
        super().__init__(name="example pictures", daemon=True)
        self._engine, self._pictures, self._interval_s = engine, pictures, interval_s
        self._missing = [each for each in requests if pictures.read(each) is None]
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._pauses = 0
        self._was_paused = False

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Generate nothing in the block, nor before the next two looks: somebody draws live, which does not count as
        work of the engine."""
        with self._lock:
            self._pauses += 1
            self._was_paused = True
        try:
            yield
        finally:
            with self._lock:
                self._pauses -= 1

    def stop(self) -> None:
        """End it; a picture in progress is cancelled within a step."""
        self._stopped.set()

    def run(self) -> None:
        failures, was_idle = 0, False
        while self._missing and failures < MAX_FAILURES and not self._stopped.wait(self._interval_s):
            idle = not self._busy() and not self._paused_lately()
            if idle and was_idle:
                try:
                    if self._generate(self._missing[0]):
                        del self._missing[0]
                except (UserError, OSError) as error:  # a full queue, memory or disk
                    log.info("An example picture could not be generated: %s", error)
                    failures += 1
            was_idle = idle

    def _busy(self) -> bool:
        return self._pauses > 0 or bool(sum(self._engine.stage_counts.values()))

    def _paused_lately(self) -> bool:
        """Whether there was a pause since the last call."""
        with self._lock:
            was, self._was_paused = self._was_paused, self._pauses > 0
        return was

    def _generate(self, request: Request) -> bool:
        """Whether the picture was finished; it is cancelled for other requests."""
        with closing(self._engine.submit(request, SESSION, live=True)) as ticket:
            for event in ticket:
                if isinstance(event, Result):
                    self._pictures.write(request, event.image)
                    return True
                if self._busy() or self._stopped.is_set():
                    ticket.cancel()
                    return False
        return False
