"""One request drawn by us and by the stock pipelines in turn: times, what is spent outside the networks, differences.

Does not know the command line. The prompt differs from run to run, so that no text is encoded before its run begins;
the negative prompt is the same empty one, whose embedding we keep and the stock pipelines compute anew.
"""

from __future__ import annotations

import dataclasses
import platform
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from PIL.Image import Image

from wuerst_demo.bench.clock import forwards, timed
from wuerst_demo.bench.stock import Stock, as_published
from wuerst_demo.engine.inline import Inline
from wuerst_demo.events import Result
from wuerst_demo.model.cascade import Cascade
from wuerst_demo.model.checkpoint import load_parts
from wuerst_demo.model.files import locate
from wuerst_demo.model.known import limits_of
from wuerst_demo.model.placement import decide
from wuerst_demo.model.row import Row
from wuerst_demo.request import Request
from wuerst_demo.settings import Settings

_TEXT = "a picture for the clock, number"


@dataclass(frozen=True)
class Runs:
    """One way of drawing: seconds of each timed run, and the share of each watched run outside forward passes."""

    seconds: tuple[float, ...]
    outside: tuple[float, ...]
    passes: int


@dataclass(frozen=True)
class Comparison:
    """Both ways on one checkpoint and machine; runs of equal number followed each other."""

    checkpoint: str
    machine: str
    device: str
    dtype: str
    versions: Mapping[str, str]
    request: Request
    stock: Runs
    ours: Runs
    difference: int
    """The greatest difference between the two pictures of a seed, of 255."""

    @property
    def ratios(self) -> list[float]:
        """Stock's seconds for one of ours, pair by pair."""
        return [stock / ours for stock, ours in zip(self.stock.seconds, self.ours.seconds, strict=True)]

    def facts(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            **{name: getattr(self, name) for name in ("checkpoint", "machine", "device", "dtype", "difference")},
            "versions": dict(self.versions),
            "request": {k: v for k, v in dataclasses.asdict(self.request).items() if "prompt" not in k},
            "ratio": statistics.median(self.ratios),
            "ratios": self.ratios,
            "stock": dataclasses.asdict(self.stock),
            "ours": dataclasses.asdict(self.ours),
        }

    def table(self) -> str:
        """For people: what was measured on what, a line a way, the ratio."""
        r = self.request
        lines = [
            f"{self.checkpoint}, {r.width} x {r.height}, one picture",
            f"prior {r.prior_steps} steps ({r.prior_schedule}), guidance {r.prior_guidance:g};"
            f" decoder {r.decoder_steps} steps, guidance {r.decoder_guidance:g}",
            f"{self.machine}; {self.device}, {self.dtype}",
            ", ".join(f"{name} {version}" for name, version in self.versions.items()),
            "",
            f"{'':<8}{'median s':>10}{'best s':>10}{'outside the networks':>24}{'passes':>10}",
        ]
        for name, runs in (("stock", self.stock), ("ours", self.ours)):
            median, best, outside = statistics.median(runs.seconds), min(runs.seconds), statistics.median(runs.outside)
            lines.append(f"{name:<8}{median:>10.3f}{best:>10.3f}{outside:>23.1%} {runs.passes:>10}")
        lines += [
            "",
            f"stock / ours: {statistics.median(self.ratios):.3f}, median of {len(self.ratios)} pairs"
            f" ({min(self.ratios):.3f} to {max(self.ratios):.3f})",
            f"the two pictures of a seed differ by at most {self.difference} of 255",
        ]
        return "\n".join(lines)


def compare(settings: Settings, values: Mapping[str, object], repeat: int) -> Comparison:
    """`repeat` pairs of timed runs after a pair to warm up, then as many pairs with the forward passes watched.

    `values` go over the checkpoint's defaults for a request. Raises what loading, placing and checking raise.
    """
    for library in (diffusers, transformers):
        # Every construction of a stock pipeline warns of its deprecation; bars would stand between the table's lines.
        library.logging.set_verbosity_error()
        library.logging.disable_progress_bar()
    located = locate(settings.model, settings.prior, settings.vqgan)
    limits = limits_of(located)
    request = limits.request({"seed": 0, **values, "prompt": _TEXT, "images": 1})
    placement = decide(settings.device, settings.dtype, settings.offload, settings.attention, settings.compile)
    parts = load_parts(located, placement)
    published = as_published(parts)
    stock, engine = Stock(published), Inline(Cascade(parts, limits))
    device = parts.prior.device
    drawers = {"stock": lambda each: stock.draw(each)[0], "ours": lambda each: _drawn(engine, each)}
    sources = {"stock": published, "ours": parts}
    seconds: dict[str, list[float]] = {"stock": [], "ours": []}
    outside: dict[str, list[float]] = {"stock": [], "ours": []}
    passes = {"stock": 0, "ours": 0}
    difference = 0
    for run in range(2 * repeat + 1):
        each = dataclasses.replace(request, prompt=f"{_TEXT} {run}", seed=run)
        pictures: dict[str, Image] = {}
        for name in ("stock", "ours") if run % 2 else ("ours", "stock"):

            def draw(name: str = name, each: Request = each) -> Image:
                return drawers[name](each)

            if run <= repeat:
                pictures[name], spent = timed(device, draw)
                if run:
                    seconds[name].append(spent)
            else:
                with forwards(sources[name], device) as inside:
                    pictures[name], spent = timed(device, draw)
                outside[name].append(1 - inside.seconds / spent)
                passes[name] = inside.passes
        difference = max(difference, _difference(pictures["stock"], pictures["ours"]))
    return Comparison(
        checkpoint=located.name,
        machine=f"{_processor()}, {torch.get_num_threads()} threads",
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        dtype=str(parts.prior.dtype).removeprefix("torch."),
        versions={
            "Python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
        },
        request=request,
        stock=Runs(tuple(seconds["stock"]), tuple(outside["stock"]), passes["stock"]),
        ours=Runs(tuple(seconds["ours"]), tuple(outside["ours"]), passes["ours"]),
        difference=difference,
    )


def _drawn(engine: Inline[Row], request: Request) -> Image:
    return next(event.picture for event in engine.run(request) if isinstance(event, Result))


def _difference(one: Image, other: Image) -> int:
    return int(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max())


def _processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: the architecture has to do
    return platform.processor() or platform.machine()
