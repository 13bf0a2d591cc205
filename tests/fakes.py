"""Stand-ins at the seams, for tests that are about something else than what stands behind them.

FakeCascade moves rows as the real one does, without torch: its pictures are small, of one colour that the prompt and
the seed decide, and it fails where a test tells it to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from wuerst_demo.errors import DeviceLost, UserError
from wuerst_demo.events import Stage
from wuerst_demo.request import Request


@dataclass(frozen=True)
class FakeRow:
    image: int
    request: Request
    stage: Stage
    step: int
    of: int
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> Hashable:
        return (self.stage, self.request.width, self.request.height)


@dataclass
class FakeCascade:
    """`steps` is what it was asked to step: one tuple of (seed, stage, step) per row and call.

    `failures` maps the number of a call of `step`, from 0, to the exception that it raises in place of moving;
    `fault` gives the exception, if any, that step and finish raise for these rows; `spoilt` holds the seeds whose
    pictures come out as a UserError, `withered` the (seed, stage, step) at which a row does; `between` is called at the
    start of every step. `gone` says that a probe finds no device; `relieved` and `probed` count.
    """

    failures: Mapping[int, BaseException] = field(default_factory=dict)
    fault: Callable[[Sequence[FakeRow]], Exception | None] = lambda rows: None
    spoilt: Sequence[int] = ()
    between: Callable[[], object] = lambda: None
    steps: list[list[tuple[int, Stage, int]]] = field(default_factory=list)
    withered: Sequence[tuple[int, Stage, int]] = ()
    gone: bool = False
    relieved: int = 0
    probed: int = 0

    def begin(self, request: Request) -> list[FakeRow]:
        return [FakeRow(k, request.image(k), "prior", 0, request.prior_steps) for k in range(request.images)]

    def step(self, rows: Sequence[FakeRow]) -> list[FakeRow | UserError]:
        self.between()
        assert len({row.key for row in rows}) == 1, "rows of one batch have one key"
        self.steps.append([(row.request.seed, row.stage, row.step) for row in rows])
        if failure := self.failures.get(len(self.steps) - 1):
            raise failure
        self._fail(rows)
        bad = UserError("This row has withered; try another seed.")
        return [
            bad
            if (row.request.seed, row.stage, row.step) in self.withered
            else self._onward(replace(row, step=row.step + 1))
            for row in rows
        ]

    def finish(self, rows: Sequence[FakeRow]) -> list[Image.Image | UserError]:
        assert all(row.stage == "vqgan" for row in rows)
        self._fail(rows)
        spoilt = UserError("This picture is spoilt; try another seed.")
        return [spoilt if row.request.seed in self.spoilt else painted(row.request) for row in rows]

    def estimates(self, rows: Sequence[FakeRow]) -> list[np.ndarray]:
        """One number each: the seed. Its type and shape are the real ones' but for the size."""
        return [np.full((16 if _before(row) == "prior" else 4, 1, 1), row.request.seed, np.float32) for row in rows]

    def previews(self, rows: Sequence[FakeRow]) -> list[bytes | None]:
        """The seed and the number of evaluations, in words."""
        return [f"{row.request.seed} {row.stage} {row.step}".encode() for row in rows]

    def relieve(self) -> None:
        self.relieved += 1

    def probe(self) -> None:
        self.probed += 1
        if self.gone:
            raise DeviceLost("the fake is gone")

    def _fail(self, rows: Sequence[FakeRow]) -> None:
        if fault := self.fault(rows):
            raise fault

    def _onward(self, row: FakeRow) -> FakeRow:
        if row.step < row.of:
            return row
        if row.stage == "prior":
            return replace(row, stage="decoder", step=0, of=row.request.decoder_steps)
        return replace(row, stage="vqgan", step=0, of=1)


def _before(row: FakeRow) -> Stage:
    """The stage of the row's last evaluation."""
    last: dict[Stage, Stage] = {"prior": "prior", "decoder": "decoder" if row.step else "prior", "vqgan": "decoder"}
    return last[row.stage]


def painted(request: Request) -> Image.Image:
    """The fake's picture for a request of one image: an eighth of its size, in a colour of its own."""
    digest = hashlib.sha256(f"{request.prompt}\n{request.seed}".encode()).digest()
    return Image.new("RGB", (request.width // 8, request.height // 8), (digest[0], digest[1], digest[2]))
