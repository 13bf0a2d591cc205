"""One evaluation of some rows, with what there is to be seen of it: previews, and estimates for those who asked.

Does not know threads or whose rows they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from wuerst_demo.engine.previews import Previews
from wuerst_demo.engine.record import Record
from wuerst_demo.engine.rows import Cascade, R
from wuerst_demo.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Step(Generic[R]):
    """What an evaluation made of one row: the row moved on, or why it gets no further; a preview where it was time for
    one; the estimate of the clean latents where its record keeps them."""

    onward: R | UserError
    preview: bytes | None = None
    estimate: NDArray[np.float32] | None = None


class Steps(Generic[R]):
    """Takes steps with a cascade; `clock` counts seconds."""

    def __init__(self, cascade: Cascade[R], clock: Callable[[], float]) -> None:
        self._cascade = cascade
        self._clock = clock
        self._previews = Previews(cascade, clock)

    def take(self, rows: Sequence[R], records: Sequence[Record]) -> tuple[list[Step[R]], float]:
        """Moves rows of one key on; also the seconds that it took, previews apart. Raises as the cascade does, and
        leaves the rows as they were then."""
        start = self._clock()
        moved = self._cascade.step(rows)
        if len(moved) != len(rows):
            raise RuntimeError(f"{len(rows)} rows went in, {len(moved)} came out")
        good = {i: row for i, row in enumerate(moved) if not isinstance(row, UserError)}
        kept = [i for i in good if records[i].stages]
        estimates = dict(zip(kept, self._cascade.estimates([good[i] for i in kept]), strict=True)) if kept else {}
        seconds = self._clock() - start
        shown = self._previews.after(list(good.values()), [records[i].due for i in good], seconds)
        previews = dict(zip(good, shown, strict=True))
        return [Step(row, previews.get(i), estimates.get(i)) for i, row in enumerate(moved)], seconds
