"""Würstchen in Python: load a checkpoint, make requests, generate pictures.

    from wuerst_demo import load

    wuerstchen = load()                      # the shipped cocktail; load("warp-ai/wuerstchen") for the published model
    request = wuerstchen.request(prompt="a red circle", seed=7)
    for result in wuerstchen.generate(request):
        result.image.save(f"{result.request.seed}.png")

Torch is imported once the files of the checkpoint are verified.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from wuerst_demo.errors import UserError
from wuerst_demo.events import Event, Result
from wuerst_demo.placement_options import PlacementOptions
from wuerst_demo.redraw_mask import encode_mask
from wuerst_demo.request import DEFAULT_FRAMES, Limits, Request, morph
from wuerst_demo.variation import redraw, vary

CheckpointName = str | os.PathLike[str]
"""A Hub name, or a file or folder."""

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from wuerst_demo.checkpoints.capabilities import CheckpointInfo
    from wuerst_demo.checkpoints.manifest import ResolvedCheckpoint
    from wuerst_demo.devices.placement import Placement
    from wuerst_demo.engine.engine import Engine
    from wuerst_demo.networks.compile import CompiledForward
    from wuerst_demo.pipeline.cascade import Cascade
    from wuerst_demo.pipeline.image_state import ImageState
    from wuerst_demo.pipeline.preview import PreviewRenderer
    from wuerst_demo.prompts.encoder import PromptEncoder
    from wuerst_demo.prompts.parser import PromptReport


@dataclass(frozen=True, eq=False)
class Wuerstchen:
    """A loaded checkpoint. Threads may share one: their requests take turns, step by step."""

    name: str
    """Hub name or folder name."""
    revision: str
    """Commit on the Hub; "" for a folder."""
    info: CheckpointInfo
    """Title, limits, example prompts and, for a small checkpoint, its vocabulary."""
    placement: Placement
    """Device, dtype, offload and kernels in use, and why."""
    cascade: Cascade = field(repr=False)
    """The pipeline, for an engine of your own; see `wuerst_demo.engine.interface`."""
    _prompts: PromptEncoder = field(repr=False)
    _engine: Engine[ImageState] = field(repr=False)
    _compiled: tuple[CompiledForward, ...] = field(default=(), repr=False)

    @property
    def limits(self) -> Limits:
        """Allowed values and defaults of every field of a request."""
        return self.info.limits

    def request(self, **values: object) -> Request:
        """A complete request from the fields of `Request` by name; what is missing gets the checkpoint's default.

        Raises InvalidRequest, naming field and remedy, for values that the checkpoint does not support.
        """
        return self.limits.request(values)

    def vary(self, result: Result, level: float = 0.5, **values: object) -> Request:
        """A request that goes on from a finished image: its own request, a random seed, and `values` in its place.

        `level` is from 0, which keeps the composition and draws new details, to 1, a new image. Raises InvalidRequest.
        """
        return self.limits.request({**vary(result.request.to_dict(), result.image_embeddings, level), **values})

    def redraw(self, result: Result, cells: ArrayLike, level: float = 1.0, **values: object) -> Request:
        """A request that redraws the cells of a finished image for which `cells` (h, w) is true, and leaves the others:
        otherwise as `vary`.

        A cell is 42.7 pixels wide: `image_embeddings` has one value of each of its maps for it. Raises InvalidRequest.
        """
        varied = vary(result.request.to_dict(), result.image_embeddings, level)
        return self.limits.request({**redraw(varied, encode_mask(cells)), **values})

    def morph(self, first: Result, last: Result, frames: int = DEFAULT_FRAMES) -> Request:
        """A request for the way from one finished image to another of its size, in 3 to 16 images: the two and those in
        between. Raises InvalidRequest."""
        one, other = ((each.request.to_dict(), each.image_embeddings) for each in (first, last))
        return self.limits.request(morph(one, other, frames))

    def run(self, request: Request) -> Iterator[Event]:
        """Generate step by step: a Progress after every step, a Result for each finished image, then Done.

        Closing the iterator stops within a step. Raises UserError for a prompt that cannot be parsed and when memory
        runs out.
        """
        return self._engine.run(request)

    def generate(self, request: Request) -> list[Result]:
        """The images of a request, in its order. Raises as `run` does."""
        results = [event for event in self.run(request) if isinstance(event, Result)]
        return sorted(results, key=lambda result: result.index)

    def run_all(self, requests: Iterable[Request]) -> Iterator[tuple[int, Event | UserError]]:
        """Generate many requests, whose images share forward passes: the number of a request, from 0, with each event.

        All events of the first request come first. A request that fails has its UserError in place of Done, and the
        others go on. Closing the iterator stops within a step.
        """
        return self._engine.run_all(requests)

    def parse_prompt(self, prompt: str, weighting: bool = True) -> PromptReport:
        """The words of a prompt with their weights, its tokens, and what exceeds the token limit.

        Raises PromptError for invalid weighting syntax.
        """
        return self._prompts.read(prompt, weighting)

    def warm_up(self) -> str:
        """Compile for the default size and return one line about it; "" where compilation is off.

        Without it, each new shape is compiled on first use; after it, each new shape runs uncompiled.
        """
        if not self._compiled:
            return ""
        from wuerst_demo.pipeline.warmup import warm_up

        return warm_up(self.cascade, self._compiled, self.limits)


def load(
    model: CheckpointName | None = None,
    prior: CheckpointName | None = None,
    vqgan: CheckpointName | None = None,
    *,
    lora: CheckpointName | Sequence[CheckpointName] = (),
    device: str = "auto",
    dtype: str = "auto",
    offload: str = "auto",
    attention: str = "sdpa",
    compile: bool = False,
    backend: str = "torch",
) -> Wuerstchen:
    """Resolve, download where needed, verify and load a checkpoint.

    model, prior, vqgan: Hub names, optionally with @revision, or folders in the Hub's layout.
        Default: the shipped cocktail, the prior that belongs to the model, the model's own VQGAN.
    lora: one LoRA for the prior or several: files or Hub names, with ":0.8" appended for a strength other than 1.
    device, dtype, offload, attention, compile, backend: see `PlacementOptions`.

    Raises CheckpointError and PlacementError, each one line with the remedy.
    """
    options = PlacementOptions(device, dtype, offload, attention, compile, backend)
    loras = [lora] if isinstance(lora, (str, os.PathLike)) else lora
    return load_checkpoint(open_checkpoint(model, prior, vqgan, loras, options=options), options)


def open_checkpoint(
    model: CheckpointName | None = None,
    prior: CheckpointName | None = None,
    vqgan: CheckpointName | None = None,
    loras: Sequence[CheckpointName] = (),
    *,
    options: PlacementOptions,
) -> ResolvedCheckpoint:
    """The verified files of a checkpoint, named as for `load`; weights are downloaded where needed, but not read.

    Raises PlacementError before any download for options that exclude each other, or that this machine does not have,
    and CheckpointError.
    """
    from wuerst_demo.checkpoints.resolve import resolve_checkpoint
    from wuerst_demo.compatibility import reject_conflicts
    from wuerst_demo.devices.placement import check_options

    reject_conflicts(options, lora=bool(loras))
    model, prior, vqgan = (None if each is None else os.fspath(each) for each in (model, prior, vqgan))
    ready = partial(check_options, options, lora=bool(loras))
    return resolve_checkpoint(model, prior, vqgan, [os.fspath(each) for each in loras], ready=ready)


def load_checkpoint(
    checkpoint: ResolvedCheckpoint, options: PlacementOptions, preview_renderer: PreviewRenderer | None = None
) -> Wuerstchen:
    """Load the networks of an opened checkpoint. Raises as `load` does.

    `preview_renderer` defaults to one with the map that the checkpoint ships, or the one in the user's cache.
    """
    from wuerst_demo.devices.memory_estimate import estimate_memory
    from wuerst_demo.devices.placement import decide_placement
    from wuerst_demo.engine.engine import Engine

    placement = decide_placement(options, lora=bool(checkpoint.loras), estimate=estimate_memory(checkpoint))

    from wuerst_demo.networks.loader import load_components
    from wuerst_demo.networks.offload import apply_offload
    from wuerst_demo.networks.weight_folding import apply_optimizations
    from wuerst_demo.pipeline.cascade import Cascade
    from wuerst_demo.prompts.encoder import PromptEncoder

    parts = load_components(checkpoint, placement)
    apply_optimizations(parts)
    if placement.backend == "openvino":
        from wuerst_demo.networks.openvino_backend import use_openvino

        use_openvino(parts, placement.dtype)
    compiled: tuple[CompiledForward, ...] = ()
    if placement.compile:
        from wuerst_demo.networks.compile import compile_networks

        compiled = compile_networks(parts)
    apply_offload(parts, placement)
    prompts = PromptEncoder(parts)
    renderer = preview_renderer or _build_preview_renderer(checkpoint)
    cascade = Cascade(parts, checkpoint.info.limits, prompts, placement.device, renderer)
    return Wuerstchen(
        name=parts.name,
        revision=parts.revision,
        info=checkpoint.info,
        placement=placement,
        cascade=cascade,
        _prompts=prompts,
        _engine=Engine(cascade),
        _compiled=compiled,
    )


@dataclass(frozen=True)
class CheckpointNames:
    """A checkpoint as it was requested, see `load`, for a process that loads it on another machine."""

    model: str | None = None
    prior: str | None = None
    vqgan: str | None = None
    loras: Sequence[str] = ()


def load_replica(
    names: CheckpointNames, options: PlacementOptions, threads: int
) -> tuple[ResolvedCheckpoint, Wuerstchen]:
    """A checkpoint opened, loaded and compiled in a process that shares the cores of its machine: with so many threads.

    Raises as `load` does.
    """
    from wuerst_demo.devices.hardware import set_thread_count

    set_thread_count(threads)
    checkpoint = open_checkpoint(names.model, names.prior, names.vqgan, names.loras, options=options)
    wuerstchen = load_checkpoint(checkpoint, options)
    wuerstchen.warm_up()
    return checkpoint, wuerstchen


def load_prompt_parser(checkpoint: ResolvedCheckpoint) -> Callable[[str, bool], PromptReport]:
    """`Wuerstchen.parse_prompt` without weights, for a process that generates nothing. Raises CheckpointError."""
    from wuerst_demo.networks.loader import load_prompt_components
    from wuerst_demo.prompts.encoder import PromptEncoder

    return PromptEncoder(load_prompt_components(checkpoint)).read


def _build_preview_renderer(checkpoint: ResolvedCheckpoint) -> PreviewRenderer:
    """Renderer with the colour map beside the checkpoint, or the one in the user's cache."""
    from wuerst_demo.checkpoints.manifest import checkpoint_fingerprint
    from wuerst_demo.pipeline import latent_to_rgb
    from wuerst_demo.pipeline.preview import PreviewRenderer

    of = checkpoint_fingerprint(checkpoint)
    given = latent_to_rgb.load_map(latent_to_rgb.bundled_map_path(checkpoint), of)
    return PreviewRenderer(given=given) if given else PreviewRenderer(of, latent_to_rgb.cached_map_path(of, os.environ))
