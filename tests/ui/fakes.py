"""A studio of arithmetic for the page's tests: pictures are plain colors that follow from prompt and seed.

Magic words in a prompt make it fail: "refuse" raises a UserError, "break" a fault of ours, "syntax" a PromptError
when read. Words in capitals weigh 1.5, words that start with a minus 0.5.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from PIL import Image

from wuerst_demo.errors import PromptError, UserError
from wuerst_demo.events import Done, Event, Progress, Result
from wuerst_demo.pictures import save
from wuerst_demo.request import Limits, Request
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

    `running` counts the drawings that have not ended, `closed` those that were stopped before their end.
    """

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.running = 0
        self.closed = 0
        self.asked: list[Request] = []

    def draw(self, request: Request, session: str) -> Iterator[Event]:
        self.running += 1
        self.asked.append(request)
        try:
            if "refuse" in request.prompt:
                raise UserError("The fake engine refuses this; ask for something else.")
            for image in range(request.images):
                for step in range(request.prior_steps):
                    time.sleep(self.pause)
                    if "break" in request.prompt and step == 1:
                        raise RuntimeError("a fault with /secret/path in it")
                    yield Progress(image, "prior", step + 1, request.prior_steps)
                for step in range(request.decoder_steps):
                    time.sleep(self.pause)
                    yield Progress(image, "decoder", step + 1, request.decoder_steps)
                yield Progress(image, "vqgan", 1, 1)
                alone = request.image(image)
                yield Result(image, paint(alone), alone, {"total": 1.0})
            yield Done(0.5)
        except GeneratorExit:
            self.closed += 1
            raise
        finally:
            self.running -= 1


def paint(request: Request) -> Image.Image:
    color = zlib.crc32(f"{request.prompt} {request.seed}".encode()) & 0xFFFFFF
    top = Image.new("RGB", (request.width, request.height), color)
    bottom = Image.new("RGB", top.size, color ^ 0x404040)
    return Image.composite(top, bottom, Image.linear_gradient("L").resize(top.size))


def studio(painter: Painter | None = None, limits: Limits = LIMITS) -> Studio:
    return Studio(
        limits=limits,
        draw=(painter or Painter()).draw,
        read=read,
        save=partial(save, checkpoint="arithmetic"),
        checkpoint="a checkpoint of arithmetic",
        device="no device (float)",
        examples=("a red apple on a table", "a small blue house by the sea", "two YELLOW flowers in a -green vase"),
    )
