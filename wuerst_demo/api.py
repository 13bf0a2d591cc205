"""Würstchen in Python: load a checkpoint, make requests, get pictures.

    from wuerst_demo.api import load

    wuerstchen = load()                      # the shipped cocktail; load("warp-ai/wuerstchen") for the real one
    request = wuerstchen.request(prompt="a red circle", seed=7)
    for result in wuerstchen.generate(request):
        result.picture.save(f"{result.request.seed}.png")

Joins the rooms: files, placement, networks, cascade, engine. Torch is imported once the checkpoint's files are known
to be sound. Does not know pages, command lines or where pictures are kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from wuerst_demo.events import Event, Result
from wuerst_demo.request import Limits, Request

Name = str | os.PathLike[str]
"""A Hub name, or a file or folder."""

if TYPE_CHECKING:
    from wuerst_demo.engine.inline import Inline
    from wuerst_demo.model.cascade import Cascade
    from wuerst_demo.model.compiling import Compiled
    from wuerst_demo.model.files import Located
    from wuerst_demo.model.placement import Placement
    from wuerst_demo.model.preview import Palette
    from wuerst_demo.model.prompts import Prompts, Reading
    from wuerst_demo.model.row import Row


@dataclass(frozen=True, eq=False)
class Wuerstchen:
    """A loaded checkpoint. Several threads may use one: their requests take turns, step by step.

    `limits` says what may be asked of it and `examples` what it draws well; `placement` where it runs, and why.
    `knows` lists, for a small checkpoint, the lower-case words and phrases it has learned, and `things` counts the
    things among them; () and 0 for one that nobody has counted.
    """

    name: str
    revision: str
    title: str
    limits: Limits
    examples: tuple[str, ...]
    knows: tuple[str, ...]
    things: int
    placement: Placement
    cascade: Cascade = field(repr=False)
    """For engines of one's own; see wuerst_demo.engine.rows for what it can do."""
    _prompts: Prompts = field(repr=False)
    _engine: Inline[Row] = field(repr=False)
    _compiled: tuple[Compiled, ...] = field(default=(), repr=False)

    def request(self, **values: object) -> Request:
        """A complete request from the fields of `Request` by name; what is left out takes the checkpoint's default.

        Raises InvalidRequest, naming field and remedy, for anything the checkpoint cannot be asked.
        """
        return self.limits.request(values)

    def run(self, request: Request) -> Iterator[Event]:
        """Draws a request, step by step: Progress after every step, each picture's Result as it is done, then Done.

        Closing the iterator stops within a step. Raises UserError for a prompt that cannot be read, or too little
        memory.
        """
        return self._engine.run(request)

    def warm_up(self) -> str:
        """Compiles for pictures of the default size and says so in one line; "" where nothing is to be compiled.

        Takes its time, and makes it foreseeable: without, whatever is new is compiled when it is first met, and
        afterwards, whatever is new runs uncompiled.
        """
        if not self._compiled:
            return ""
        from wuerst_demo.model.compiling import warm_up

        return warm_up(self.cascade, self._compiled, self.limits)

    def generate(self, request: Request) -> list[Result]:
        """The pictures of a request, in its order. Raises as `run` does."""
        results = [event for event in self.run(request) if isinstance(event, Result)]
        return sorted(results, key=lambda result: result.image)

    def read(self, prompt: str, weighting: bool = True) -> Reading:
        """How a prompt is understood: its words with their weights, its length in tokens, what is beyond the limit.

        Raises PromptError where the weighting syntax cannot be read.
        """
        return self._prompts.read(prompt, weighting)


def load(
    model: Name | None = None,
    prior: Name | None = None,
    vqgan: Name | None = None,
    *,
    lora: Name | Sequence[Name] = (),
    device: str = "auto",
    dtype: str = "auto",
    offload: str = "auto",
    attention: str = "sdpa",
    compile: bool = False,
) -> Wuerstchen:
    """Finds, fetches where needed, verifies and loads a checkpoint.

    `model`, `prior` and `vqgan` are Hub names, optionally with @revision, or folders in the Hub's layout. Without
    them: the shipped cocktail, the prior that belongs to the model, the model's own VQGAN. `lora` is one for the prior
    or several: files or Hub names, each with ":0.8" behind it for another strength than 1. `device` is auto, cpu,
    mps, cuda or cuda:N; `dtype` auto, float32, float16 or bfloat16; `offload` auto, none, model or sequential;
    `attention` sdpa or xformers; `compile` see
    `Wuerstchen.warm_up`. Raises CheckpointError and PlacementError, each one line with the remedy.
    """
    from wuerst_demo.model.files import locate
    from wuerst_demo.model.placement import foresee
    from wuerst_demo.pairs import refuse

    placed: dict[str, Any] = {
        "device": device,
        "dtype": dtype,
        "offload": offload,
        "attention": attention,
        "compile": compile,
    }
    refuse(**placed, lora=bool(lora))
    loras = [lora] if isinstance(lora, (str, os.PathLike)) else lora
    model, prior, vqgan = (None if each is None else os.fspath(each) for each in (model, prior, vqgan))
    ready = partial(foresee, **placed, lora=bool(lora))
    located = locate(model, prior, vqgan, [os.fspath(each) for each in loras], ready=ready)
    return load_located(located, **placed)


def load_located(
    located: Located,
    *,
    device: str = "auto",
    dtype: str = "auto",
    offload: str = "auto",
    attention: str = "sdpa",
    compile: bool = False,
    palette: Palette | None = None,
) -> Wuerstchen:
    """As `load`, for a checkpoint that `wuerst_demo.model.files.locate` has found already.

    `palette` has the colours of previews; without it, those that the checkpoint ships, or those kept for the user.
    """
    from wuerst_demo.model.known import examples_of, knows_of, limits_of, title_of

    # What its small files say wrong is said before torch is imported.
    limits, examples, title = limits_of(located), examples_of(located), title_of(located)
    knows, things = knows_of(located)

    from wuerst_demo.engine.inline import Inline
    from wuerst_demo.model.needs import needs
    from wuerst_demo.model.placement import decide

    placement = decide(device, dtype, offload, attention, compile, lora=bool(located.loras), needs=needs(located))

    from wuerst_demo.model.cascade import Cascade
    from wuerst_demo.model.checkpoint import load_parts
    from wuerst_demo.model.offload import arrange
    from wuerst_demo.model.prompts import Prompts
    from wuerst_demo.model.sparing import spare

    parts = load_parts(located, placement)
    spare(parts)
    compiled: tuple[Compiled, ...] = ()
    if placement.compile:
        from wuerst_demo.model.compiling import compile_networks

        compiled = compile_networks(parts)
    arrange(parts, placement)
    prompts = Prompts(parts)
    cascade = Cascade(parts, limits, prompts, placement.device, palette or _palette(located))
    return Wuerstchen(
        name=parts.name,
        revision=parts.revision,
        title=title,
        limits=limits,
        examples=examples,
        knows=knows,
        things=things,
        placement=placement,
        cascade=cascade,
        _prompts=prompts,
        _engine=Inline(cascade),
        _compiled=compiled,
    )


def _palette(located: Located) -> Palette:
    """The colours of previews, from beside the checkpoint or from the user's cache."""
    from wuerst_demo.model import colours
    from wuerst_demo.model.preview import Palette

    of = colours.fingerprint(located)
    given = colours.read(colours.beside(located), of)
    return Palette(given=given) if given else Palette(of, colours.cached(of, os.environ))
