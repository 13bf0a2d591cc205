"""Fake cascade without torch: small images of one colour, given by prompt and seed, and planned failures."""

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
class FakeImageState:
    index: int
    request: Request
    stage: Stage
    step: int
    total_steps: int
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> Hashable:
        return (self.stage, self.request.width, self.request.height)

    def encode_image_embeddings(self) -> str:
        return f"of seed {self.request.seed}"


@dataclass
class FakeCascade:
    """Pipeline of fake image states."""

    failures: Mapping[int, BaseException] = field(default_factory=dict)
    """Exceptions that `step` raises, by the number of the call, from 0."""
    fault: Callable[[Sequence[FakeImageState]], Exception | None] = lambda states: None
    """Exception, if any, that `step` and `finish` raise for these states."""
    failing_pictures: Sequence[int] = ()
    """Seeds of images that fail in `finish`."""
    failing_steps: Sequence[tuple[int, Stage, int]] = ()
    """(seed, stage, step) at which an image fails in `step`."""
    between: Callable[[], object] = lambda: None
    """Called at the start of every step."""
    unresponsive: bool = False
    """Whether the health check fails."""
    steps: list[list[tuple[int, Stage, int]]] = field(default_factory=list)
    """The calls of `step`: (seed, stage, step) of every image."""
    emptied: int = 0
    """Calls of `empty_cache`."""
    checked: int = 0
    """Calls of `health_check`."""

    def begin(self, request: Request) -> list[FakeImageState]:
        return [FakeImageState(k, request.image(k), "prior", 0, request.prior_steps) for k in range(request.images)]

    def step(self, states: Sequence[FakeImageState]) -> list[FakeImageState | UserError]:
        self.between()
        assert len({state.key for state in states}) == 1, "the images of a batch have one key"
        calls = [(state.request.seed, state.stage, state.step) for state in states]
        self.steps.append(calls)
        if failure := self.failures.get(len(self.steps) - 1):
            raise failure
        self._raise_fault(states)
        error = UserError("This step has failed; try another seed.")
        return [
            error if call in self.failing_steps else _advanced(state) for call, state in zip(calls, states, strict=True)
        ]

    def finish(self, states: Sequence[FakeImageState]) -> list[Image.Image | UserError]:
        assert all(state.stage == "vqgan" for state in states)
        self._raise_fault(states)
        error = UserError("This picture has failed; try another seed.")
        return [error if state.request.seed in self.failing_pictures else painted(state.request) for state in states]

    def estimate_latents(self, states: Sequence[FakeImageState]) -> list[np.ndarray]:
        """The seed, as arrays (16, 1, 1) of the prior and (4, 1, 1) of the decoder."""
        channels = [16 if _last_stage(state) == "prior" else 4 for state in states]
        return [np.full((n, 1, 1), state.request.seed, np.float32) for n, state in zip(channels, states, strict=True)]

    def render_previews(self, states: Sequence[FakeImageState]) -> list[bytes | None]:
        """Seed, stage and step as text."""
        return [f"{state.request.seed} {state.stage} {state.step}".encode() for state in states]

    def empty_cache(self) -> None:
        self.emptied += 1

    def health_check(self) -> None:
        self.checked += 1
        if self.unresponsive:
            raise DeviceLost("the fake does not respond")

    def _raise_fault(self, states: Sequence[FakeImageState]) -> None:
        if fault := self.fault(states):
            raise fault


def _advanced(state: FakeImageState) -> FakeImageState:
    if state.step + 1 < state.total_steps:
        return replace(state, step=state.step + 1)
    if state.stage == "prior":
        return replace(state, stage="decoder", step=0, total_steps=state.request.decoder_steps)
    return replace(state, stage="vqgan", step=0, total_steps=1)


def _last_stage(state: FakeImageState) -> Stage:
    """Stage of the last evaluation."""
    if state.stage == "decoder":
        return "decoder" if state.step else "prior"
    return "prior" if state.stage == "prior" else "decoder"


def painted(request: Request) -> Image.Image:
    """The fake's picture for a request of one image: an eighth of its size, in a colour of its own."""
    digest = hashlib.sha256(f"{request.prompt}\n{request.seed}".encode()).digest()
    return Image.new("RGB", (request.width // 8, request.height // 8), (digest[0], digest[1], digest[2]))
