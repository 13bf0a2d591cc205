"""A target of `tools.fuzz`: a reader of outside input, with what is read and how long that may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

FILE_BOUND_S = 0.1
TEXT_BOUND_S = 0.02


@dataclass(frozen=True)
class Target:
    """A reader of outside input: valid examples, what reads one, the words of its format, and its time."""

    examples: Sequence[bytes]
    read: Callable[[bytes], object]
    words: Sequence[str] = ()
    bound_s: float = TEXT_BOUND_S
    fix: Callable[[bytes], bytes] = field(default=bytes)
    """Makes a changed input whole again, such as the check sums of a PNG file, so that more than its frame is read."""
