"""Whom an engine tells of what it does: somebody who counts, and keeps the counting out of the engine.

What is told names no person, no prompt and no id. Does not know who listens, or threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Work = Literal["text", "prior", "decoder", "vqgan"]
"""What a turn at the device was spent on: reading a prompt, or an evaluation of a network."""
End = Literal["done", "failed", "cancelled", "refused"]
"""How a request ends; each that is submitted does so once. One that is refused was never let in."""
Trouble = Literal["memory", "fault", "picture"]
"""What went wrong: a turn ran out of memory, raised what it should not, or made a picture that cannot be shown."""


@dataclass(frozen=True)
class Told:
    """What became of a request: its `end`, and seconds after it came, None for what never was.

    `waited` is until the first turn that was spent on it, `first` until its first picture.
    """

    end: End
    waited: float | None = None
    first: float | None = None


class Watch(Protocol):
    """Hears of everything once, when it has happened, from whatever thread, and under the engine's lock.

    So it must be quick, ask nothing of the engine in return, and raise nothing.
    """

    def came(self) -> None:
        """A request was submitted; whether it will be let in is not said yet."""

    def worked(self, work: Work, rows: int, room: int, seconds: float) -> None:
        """A turn at the device went well, for `rows` rows of the `room` that were admitted together."""

    def stumbled(self, trouble: Trouble) -> None:
        """Something went wrong at the device, whether or not a request will end by it."""

    def ended(self, told: Told) -> None:
        """A request has ended."""


class Nobody:
    """The Watch where nobody counts."""

    def came(self) -> None:
        pass

    def worked(self, work: Work, rows: int, room: int, seconds: float) -> None:
        pass

    def stumbled(self, trouble: Trouble) -> None:
        pass

    def ended(self, told: Told) -> None:
        pass
