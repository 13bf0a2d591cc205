"""Fake context of the web page: images are plain colors that follow from prompt and seed.

Words in a prompt make it fail: "refuse" raises a UserError, "break" an unexpected error, "syntax" a PromptError when it
is parsed. Words in capitals have the weight 1.5, words that start with a minus 0.5.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from PIL import Image

from wuerst_demo.checkpoints.capabilities import CheckpointInfo
from wuerst_demo.engine.zerogpu import GeneratorEngine, GeneratorTicket
from wuerst_demo.errors import PromptError, UserError
from wuerst_demo.events import Done, Event, Progress, Result, Stage, StageLatents
from wuerst_demo.images.files import save_animation, save_image
from wuerst_demo.request import Limits, Request
from wuerst_demo.variation import encode_image_embeddings
from wuerst_demo.web.context import WebContext

LIMITS = Limits().narrow(
    width={"least": 256, "most": 512, "default": 256},
    height={"least": 256, "most": 512, "default": 256},
    prior_steps={"default": 12},
    decoder_steps={"default": 6},
)
EMBEDDINGS = encode_image_embeddings(np.random.default_rng(0).normal(size=(16, 6, 6)))
"""The composition of every fake image."""
EXAMPLES = ("a red apple on a table", "a small blue house by the sea", "two YELLOW flowers in a -green vase")


@dataclass(frozen=True)
class FakeWord:
    text: str
    weight: float


@dataclass(frozen=True)
class FakeReadout:
    words: tuple[FakeWord, ...]
    tokens: int
    limit: int = 77
    beyond: str = ""
    notes: tuple[str, ...] = ()


def parse_prompt(prompt: str, weighting: bool) -> FakeReadout:
    if "syntax" in prompt:
        raise PromptError("The prompt's brackets cannot be read; close them, or switch weighting off.")
    words = tuple(FakeWord(text + " ", _weight(text) if weighting else 1.0) for text in prompt.split())
    beyond = " ".join(prompt.split()[75:])
    return FakeReadout(words, len(words) + 2, beyond=beyond, notes=("The rest is left out.",) if beyond else ())


def _weight(text: str) -> float:
    return 1.5 if text.isupper() else 0.5 if text.startswith("-") else 1.0


class FakePipeline:
    """Runs requests one image after the other, each step in `pause` seconds.

    A test can hold all requests before a step, and release them. `running` counts requests that have not ended,
    `cancelled` those that were closed before their end.
    """

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.running = 0
        self.cancelled = 0
        self.requests: list[Request] = []
        self.sessions: list[str] = []
        self._held: tuple[tuple[int, Stage, int], threading.Event] | None = None

    def hold(self, image: int, stage: Stage, step: int) -> None:
        """Hold every request before this step; those held before another go on."""
        before, self._held = self._held, ((image, stage, step), threading.Event())
        if before:
            before[1].set()

    def release(self) -> None:
        before, self._held = self._held, None
        if before:
            before[1].set()

    def run(self, request: Request, session: str) -> Iterator[Event]:
        self.running += 1
        self.requests.append(request)
        self.sessions.append(session)
        try:
            if "refuse" in request.prompt:
                raise UserError("The fake engine refuses this; ask for something else.")
            newest: list[Event] = []
            for image in range(request.images):
                yield from self._steps(image, "prior", request.prior_steps, newest)
                if "break" in request.prompt:
                    raise RuntimeError("a fault with /secret/path in it")
                yield from self._steps(image, "decoder", request.decoder_steps, newest)
                yield from self._steps(image, "vqgan", 1, newest)
                alone = request.image(image)
                yield Result(image, expected_image(alone), alone, {"total": 1.0}, image_embeddings=EMBEDDINGS)
            yield Done(0.5)
        except GeneratorExit:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    def _steps(self, image: int, stage: Stage, of: int, newest: list[Event]) -> Iterator[Event]:
        for step in range(1, of + 1):
            time.sleep(self.pause)
            held = self._held
            if held and held[0] == (image, stage, step):
                while not held[1].wait(0.3):
                    yield from newest  # as tickets do
            newest[:] = [Progress(image, stage, step, of)]
            yield from newest


class StepGate:
    """Callback between the steps of a fake cascade that counts them and can block the engine's thread."""

    def __init__(self) -> None:
        self.hold_before: int | None = None
        """Number of the step, from 1, before which to block."""
        self.steps = 0
        self._open = threading.Event()
        self._open.set()

    def __call__(self) -> None:
        self.steps += 1
        if self.steps == self.hold_before:
            self.hold()
        self._open.wait(240)

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()


class FakeStageEngine(GeneratorEngine):
    """An engine over a pipeline whose results have stages on request, as arrays of random numbers."""

    def __init__(self, pipeline: FakePipeline) -> None:
        super().__init__(pipeline.run)
        self._pipeline = pipeline

    def submit(
        self, request: Request, session: str, stages: bool = False, /, *, live: bool = False, address: str = ""
    ) -> GeneratorTicket:
        events = self._pipeline.run(request, session)
        ticket = GeneratorTicket(request, _with_stages(events) if stages else events)
        self._tickets[session, ticket.id] = ticket
        return ticket


def _with_stages(events: Iterator[Event]) -> Iterator[Event]:
    for event in events:
        if isinstance(event, Result):
            rng, size = np.random.default_rng(event.request.seed), (event.request.height, event.request.width)
            deep, fine = (tuple(side * part // 128 for side in size) for part in (3, 32))
            prior = [rng.normal(size=(16, *deep)).astype(np.float32) for _ in range(event.request.prior_steps)]
            decoder = [rng.normal(size=(4, *fine)).astype(np.float32) for _ in range(event.request.decoder_steps)]
            event = replace(event, stages=StageLatents(tuple(prior), tuple(decoder)))
        yield event


def expected_image(request: Request) -> Image.Image:
    goes_on_from = request.variation.image_embeddings if request.variation else ""
    color = zlib.crc32(f"{request.prompt} {request.seed}{goes_on_from}".encode()) & 0xFFFFFF
    top = Image.new("RGB", (request.width, request.height), color)
    bottom = Image.new("RGB", top.size, color ^ 0x404040)
    return Image.composite(top, bottom, Image.linear_gradient("L").resize(top.size))


def fake_context(pipeline: FakePipeline | None = None, limits: Limits = LIMITS) -> WebContext:
    return WebContext(
        checkpoint=CheckpointInfo("a checkpoint of arithmetic", limits, EXAMPLES),
        engine=GeneratorEngine((pipeline or FakePipeline()).run),
        parse_prompt=parse_prompt,
        save_image=partial(save_image, checkpoint="arithmetic", durable=False),
        save_animation=partial(save_animation, checkpoint="arithmetic", durable=False),
        device="no device (float)",
    )
