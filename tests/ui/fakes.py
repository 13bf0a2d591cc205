"""A studio of arithmetic for the page's tests: pictures are plain colors that follow from prompt and seed.

Magic words in a prompt make it fail: "refuse" raises a UserError, "break" a fault of ours, "syntax" a PromptError
when read. Words in capitals weigh 1.5, words that start with a minus 0.5.
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

from wuerst_demo.errors import PromptError, UserError
from wuerst_demo.events import Done, Event, Progress, Result, Stage, Stages
from wuerst_demo.pictures import save
from wuerst_demo.request import Limits, Request
from wuerst_demo.ui.plain import Plain, PlainTicket
from wuerst_demo.ui.studio import Studio

LIMITS = Limits().narrow(
    width={"least": 256, "most": 512, "default": 256},
    height={"least": 256, "most": 512, "default": 256},
    prior_steps={"default": 12},
    decoder_steps={"default": 6},
)


@dataclass(frozen=True)
class Word:
    text: str
    weight: float


@dataclass(frozen=True)
class Reading:
    words: tuple[Word, ...]
    tokens: int
    limit: int = 77
    beyond: str = ""
    notes: tuple[str, ...] = ()


def read(prompt: str, weighting: bool) -> Reading:
    if "syntax" in prompt:
        raise PromptError("The prompt's brackets cannot be read; close them, or switch weighting off.")
    words = tuple(Word(text + " ", _weight(text) if weighting else 1.0) for text in prompt.split())
    beyond = " ".join(prompt.split()[75:])
    return Reading(words, len(words) + 2, beyond=beyond, notes=("The rest is left out.",) if beyond else ())


def _weight(text: str) -> float:
    return 1.5 if text.isupper() else 0.5 if text.startswith("-") else 1.0


class Painter:
    """An engine: one image after the other takes its steps, `pause` seconds each.

    A test holds it before a step, looks at what there is, and lets it go on. `running` counts the drawings that have
    not ended, `closed` those that were stopped before their end.
    """

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.running = 0
        self.closed = 0
        self.asked: list[Request] = []
        self.askers: list[str] = []
        self._held: tuple[tuple[int, Stage, int], threading.Event] | None = None

    def hold(self, image: int, stage: Stage, step: int) -> None:
        """Let every drawing wait before this step; those that wait before another go on."""
        before, self._held = self._held, ((image, stage, step), threading.Event())
        if before:
            before[1].set()

    def go_on(self) -> None:
        before, self._held = self._held, None
        if before:
            before[1].set()

    def draw(self, request: Request, session: str) -> Iterator[Event]:
        self.running += 1
        self.asked.append(request)
        self.askers.append(session)
        try:
            if "refuse" in request.prompt:
                raise UserError("The fake engine refuses this; ask for something else.")
            for image in range(request.images):
                yield from self._steps(image, "prior", request.prior_steps)
                if "break" in request.prompt:
                    raise RuntimeError("a fault with /secret/path in it")
                yield from self._steps(image, "decoder", request.decoder_steps)
                yield from self._steps(image, "vqgan", 1)
                alone = request.image(image)
                yield Result(image, paint(alone), alone, {"total": 1.0})
            yield Done(0.5)
        except GeneratorExit:
            self.closed += 1
            raise
        finally:
            self.running -= 1

    def _steps(self, image: int, stage: Stage, of: int) -> Iterator[Event]:
        for step in range(1, of + 1):
            time.sleep(self.pause)
            held = self._held
            if held and held[0] == (image, stage, step):
                held[1].wait(120)
            yield Progress(image, stage, step, of)


class Staged(Plain):
    """An engine over a painter that keeps the stages of those who ask for them, as arrays of random numbers."""

    def __init__(self, painter: Painter) -> None:
        super().__init__(painter.draw)
        self._painter = painter

    def submit(self, request: Request, session: str, stages: bool = False, /) -> PlainTicket:
        events = self._painter.draw(request, session)
        return PlainTicket(request, _with_stages(events) if stages else events)


def _with_stages(events: Iterator[Event]) -> Iterator[Event]:
    for event in events:
        if isinstance(event, Result):
            rng, size = np.random.default_rng(event.request.seed), (event.request.height, event.request.width)
            deep, fine = (tuple(side * part // 128 for side in size) for part in (3, 32))
            prior = [rng.normal(size=(16, *deep)).astype(np.float32) for _ in range(event.request.prior_steps)]
            decoder = [rng.normal(size=(4, *fine)).astype(np.float32) for _ in range(event.request.decoder_steps)]
            event = replace(event, stages=Stages(tuple(prior), tuple(decoder)))
        yield event


def paint(request: Request) -> Image.Image:
    color = zlib.crc32(f"{request.prompt} {request.seed}".encode()) & 0xFFFFFF
    top = Image.new("RGB", (request.width, request.height), color)
    bottom = Image.new("RGB", top.size, color ^ 0x404040)
    return Image.composite(top, bottom, Image.linear_gradient("L").resize(top.size))


def studio(painter: Painter | None = None, limits: Limits = LIMITS) -> Studio:
    return Studio(
        limits=limits,
        engine=Plain((painter or Painter()).draw),
        read=read,
        save=partial(save, checkpoint="arithmetic"),
        checkpoint="a checkpoint of arithmetic",
        device="no device (float)",
        examples=("a red apple on a table", "a small blue house by the sea", "two YELLOW flowers in a -green vase"),
    )
