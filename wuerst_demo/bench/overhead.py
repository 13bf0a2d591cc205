"""`python -m wuerst_demo.bench.overhead`: what the engine itself takes, beside the networks.

First a step of 16 rows of 16 people, each read in a thread of its own, on a cascade whose verbs take no time: all that
is left is choosing, telling and waking. Then what previews add to a request on the shipped checkpoint. Prints a line
for each, and one last line of JSON.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from wuerst_demo.engine.local import Local
from wuerst_demo.request import Limits, Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wuerst_demo.api import Wuerstchen
    from wuerst_demo.errors import UserError
    from wuerst_demo.events import Stage

PEOPLE = 16
STEPS = 100
RUNS = 5


@dataclass(frozen=True)
class Blank:
    """A row without latents."""

    image: int
    request: Request
    stage: Stage
    step: int
    of: int
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> Stage:
        return self.stage


class Idle:
    """A cascade that takes no time. `sizes` are the rows of its steps."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._picture = Image.new("RGB", (8, 8))

    def begin(self, request: Request) -> list[Blank]:
        return [Blank(k, request.image(k), "prior", 0, request.prior_steps) for k in range(request.images)]

    def step(self, rows: Sequence[Blank]) -> list[Blank | UserError]:
        self.sizes.append(len(rows))
        return [self._onward(row) for row in rows]

    def finish(self, rows: Sequence[Blank]) -> list[Image.Image | UserError]:
        return [self._picture for _ in rows]

    def estimates(self, rows: Sequence[Blank]) -> list[NDArray[np.float32]]:
        raise NotImplementedError("nobody asks here")

    def previews(self, rows: Sequence[Blank]) -> list[bytes | None]:
        return [None for _ in rows]

    def relieve(self) -> None:
        pass

    def probe(self) -> None:
        pass

    def _onward(self, row: Blank) -> Blank:
        if row.step + 1 < row.of:
            return dataclasses.replace(row, step=row.step + 1)
        if row.stage == "prior":
            return dataclasses.replace(row, stage="decoder", step=0, of=row.request.decoder_steps)
        return dataclasses.replace(row, stage="vqgan", step=0, of=1)


def milliseconds_a_step() -> tuple[float, float]:
    """Of the engine, at PEOPLE rows a step: by the clock, and of the processor, all threads together."""
    cascade = Idle()
    engine = Local(cascade, rows_at_once=PEOPLE, waiting=PEOPLE)
    wish = Limits().request({"seed": 1, "prior_steps": STEPS, "decoder_steps": STEPS})
    tickets = [engine.submit(wish, f"person {k}") for k in range(PEOPLE)]
    readers = [threading.Thread(target=list, args=(ticket,)) for ticket in tickets]
    for reader in readers:
        reader.start()
    start, worked = time.perf_counter(), time.process_time()
    with engine:
        for reader in readers:
            reader.join()
    # What prompts and pixels take, 2 turns of each person's, is counted as if the steps had taken it.
    steps = len(cascade.sizes) / 1000
    return (time.perf_counter() - start) / steps, (time.process_time() - worked) / steps


class Timed:
    """The cascade of another, with the processor's seconds that its previews took, and how many there were."""

    def __init__(self, cascade: Any) -> None:
        self._cascade = cascade
        self.seconds = 0.0
        self.previews_made = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cascade, name)

    def previews(self, rows: Sequence[object]) -> Sequence[bytes | None]:
        start = time.process_time()
        made: Sequence[bytes | None] = self._cascade.previews(rows)
        self.seconds += time.process_time() - start
        self.previews_made += len(made)
        return made


def share_of_previews(wuerstchen: Wuerstchen) -> list[tuple[float, int]]:
    """How much longer previews make a request, as a share of the processor's time without them, and how many it had:
    for each of RUNS runs. Taken inside one run, since two runs differ by more than previews cost."""
    from wuerst_demo.engine.inline import Inline

    shares = []
    for run in range(RUNS + 1):  # the first is for warming up
        cascade = Timed(wuerstchen.cascade)
        start = time.process_time()
        for _ in Inline(cascade).run(wuerstchen.request(prompt=f"a fox in the snow, number {run}", seed=1)):
            pass
        whole = time.process_time() - start
        shares.append((cascade.seconds / (whole - cascade.seconds), cascade.previews_made))
    return shares[1:]


def main() -> int:
    """Measures and prints."""
    for library in ("TRANSFORMERS", "DIFFUSERS"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    steps = [milliseconds_a_step() for _ in range(RUNS)]
    clock, processor = (statistics.median(each) for each in zip(*steps, strict=True))
    sys.stdout.write(f"the engine, a step of {PEOPLE} rows: {clock:.2f} ms, processor {processor:.2f} ms\n")
    from wuerst_demo.api import load

    shares = share_of_previews(load(device="cpu"))
    share, made = (statistics.median(each) for each in zip(*shares, strict=True))
    sys.stdout.write(f"previews, {made:.0f} a request: {100 * share:.1f} % of the processor's time\n")
    sys.stdout.write(json.dumps({"milliseconds_a_step": steps, "share_of_previews": shares}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
