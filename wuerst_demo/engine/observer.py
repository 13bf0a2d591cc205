"""Observer for engine events, which keeps metrics out of the engine. No event carries a session, a prompt or an id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WorkStage = Literal["text", "prior", "decoder", "vqgan"]
"""Work of one engine step: encoding a prompt, or an evaluation of a network."""
RequestEnd = Literal["done", "failed", "cancelled", "refused"]
"""How a request ended. "refused" requests were never admitted."""
ErrorKind = Literal["memory", "fault", "picture"]
"""A step that ran out of memory, a step that raised an unexpected error, or an image that cannot be shown."""


@dataclass(frozen=True)
class RequestOutcome:
    """End of a request, with its waiting times in seconds since it was submitted."""

    end: RequestEnd
    first_step_s: float | None = None
    """Time to its first step; None if it had none."""
    first_image_s: float | None = None
    """Time to its first finished image; None if it had none."""


class EngineObserver:
    """Callbacks of an engine, one for each event; these ignore it.

    They are called in any thread while the engine's lock is held: overrides must be quick, must not call the engine and
    must not raise.
    """

    def submitted(self) -> None:
        """A request was submitted; it may still be rejected."""

    def stepped(self, stage: WorkStage, images: int, max_images: int, seconds: float) -> None:
        """A step with `images` images succeeded; `max_images` would have fitted."""

    def erred(self, kind: ErrorKind) -> None:
        """An error occurred, whether or not a request ends by it."""

    def ended(self, outcome: RequestOutcome) -> None:
        """A request has ended."""
