"""What an engine needs from a cascade, in words and without torch: rows that say where they stand, and verbs.

Does not know any cascade. The real one is wuerst_demo.model.cascade; tests use a fake of thirty lines.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from wuerst_demo.errors import UserError
    from wuerst_demo.events import Stage
    from wuerst_demo.request import Request


class Row(Protocol):
    """One image in flight: `step` of `of` evaluations of `stage` are done. A value: no verb changes it."""

    @property
    def image(self) -> int: ...
    @property
    def request(self) -> Request: ...
    @property
    def stage(self) -> Stage: ...
    @property
    def step(self) -> int: ...
    @property
    def of(self) -> int: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def key(self) -> Hashable: ...


R = TypeVar("R", bound=Row)

ROWS_AT_ONCE = 8
"""How many rows share a forward pass, at most, where nothing else is said."""


class Cascade(Protocol[R]):
    """Moves rows. Every verb may raise MemoryError, and then leaves the rows as they were, to be tried again, and
    DeviceLost, after which they are of no use."""

    def begin(self, request: Request) -> Sequence[R]:
        """The rows of a request, one an image, before their first step. Raises UserError for what cannot be read."""

    def step(self, rows: Sequence[R]) -> Sequence[R | UserError]:
        """One evaluation for rows of one key, in prior or decoder; returns them moved on, in their order, or why one
        of them can get no further."""

    def finish(self, rows: Sequence[R]) -> Sequence[Image | UserError]:
        """For rows of one key that stand in "vqgan": each one's picture, or why it has none."""

    def estimates(self, rows: Sequence[R]) -> Sequence[NDArray[np.float32]]:
        """For rows that `step` has returned: the clean latents as that evaluation saw them, small and on the host."""

    def previews(self, rows: Sequence[R]) -> Sequence[bytes | None]:
        """For rows that `step` has returned: a small encoded picture of that estimate, None where there can be none."""

    def relieve(self) -> None:
        """Lets go of memory that is kept for later; called after a MemoryError."""

    def probe(self) -> None:
        """Asks the device for a sign of life. Raises DeviceLost, or whatever else, where there is none."""
