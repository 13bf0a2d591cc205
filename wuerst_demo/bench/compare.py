"""One request drawn by us and by the stock pipelines in turn: times, what is spent outside the networks, differences.

Does not know the command line. The prompt differs from run to run, so that no text is encoded before its run begins;
the negative prompt is the same empty one, whose embedding we keep and the stock pipelines compute anew.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL.Image import Image

from wuerst_demo.bench.clock import forwards, timed
from wuerst_demo.bench.loading import both, refuse
from wuerst_demo.bench.machine import machine, name_of, versions
from wuerst_demo.bench.stock import Stock
from wuerst_demo.engine.inline import Inline
from wuerst_demo.events import Result
from wuerst_demo.model.cascade import Cascade
from wuerst_demo.model.files import locate
from wuerst_demo.model.known import limits_of
from wuerst_demo.model.row import Row
from wuerst_demo.request import Request
from wuerst_demo.settings import Settings

_TEXT = "a picture for the clock, number"


@dataclass(frozen=True)
class Runs:
    """One way of drawing: what each timed run took by the clock and of the processor, and what watched runs showed.

    `outside` is the share of each watched run that was not spent in forward passes, `passes` how many there were.
    """

    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)
    passes: list[int] = field(default_factory=list)


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
        return _ratios(self.stock.seconds, self.ours.seconds)

    @property
    def processor_ratios(self) -> list[float]:
        """The same of the processor's seconds."""
        return _ratios(self.stock.processor, self.ours.processor)

    def facts(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            **{name: getattr(self, name) for name in ("checkpoint", "machine", "device", "dtype", "difference")},
            "versions": dict(self.versions),
            "request": {k: v for k, v in dataclasses.asdict(self.request).items() if "prompt" not in k},
            "ratio": statistics.median(self.ratios),
            "processor_ratio": statistics.median(self.processor_ratios),
            "ratios": self.ratios,
            "processor_ratios": self.processor_ratios,
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
            f"{'':<8}{'median s':>10}{'best s':>10}{'processor s':>14}{'outside the networks':>24}{'passes':>10}",
        ]
        for name, runs in (("stock", self.stock), ("ours", self.ours)):
            outside = statistics.median(runs.outside)
            lines.append(
                f"{name:<8}{statistics.median(runs.seconds):>10.3f}{min(runs.seconds):>10.3f}"
                f"{statistics.median(runs.processor):>14.3f}{outside:>23.1%} {max(runs.passes):>10}"
            )
        lines += [
            "",
            f"stock / ours, pairs {len(self.ratios)}: {_spread(self.ratios)} by the clock,"
            f" {_spread(self.processor_ratios)} of the processor's time",
            f"the two pictures of a seed differ by at most {self.difference} of 255",
        ]
        return "\n".join(lines)


def compare(settings: Settings, values: Mapping[str, object], repeat: int) -> Comparison:
    """`repeat` pairs of timed runs after a pair to warm up, then as many pairs with the forward passes watched.

    `values` go over the checkpoint's defaults for a request. Raises what loading, placing and checking raise.
    """
    refuse(settings)
    located = locate(settings.model, settings.prior, settings.vqgan, settings.lora)
    limits = limits_of(located)
    request = limits.request({"seed": 0, **values, "prompt": _TEXT, "images": 1})
    published, parts = both(settings, located)
    stock, engine = Stock(published), Inline(Cascade(parts, limits))
    device = parts.prior.device
    drawers = {"stock": lambda each: stock.draw(each)[0], "ours": lambda each: _drawn(engine, each)}
    sources = {"stock": published, "ours": parts}
    runs = {"stock": Runs(), "ours": Runs()}
    difference = 0
    for number in range(2 * repeat + 1):
        each = dataclasses.replace(request, prompt=f"{_TEXT} {number}", seed=number)
        pictures: dict[str, Image] = {}
        for name in ("stock", "ours") if number % 2 else ("ours", "stock"):

            def draw(name: str = name, each: Request = each) -> Image:
                return drawers[name](each)

            if number <= repeat:
                pictures[name], seconds, processor = timed(device, draw)
                if number:
                    runs[name].seconds.append(seconds)
                    runs[name].processor.append(processor)
            else:
                with forwards(sources[name], device) as inside:
                    pictures[name], seconds, _ = timed(device, draw)
                runs[name].outside.append(1 - inside.seconds / seconds)
                runs[name].passes.append(inside.passes)
        difference = max(difference, _difference(pictures["stock"], pictures["ours"]))
    return Comparison(
        checkpoint=located.name,
        machine=machine(),
        device=name_of(device),
        dtype=str(parts.prior.dtype).removeprefix("torch."),
        versions=versions(),
        request=request,
        stock=runs["stock"],
        ours=runs["ours"],
        difference=difference,
    )


def _ratios(stock: list[float], ours: list[float]) -> list[float]:
    return [theirs / own for theirs, own in zip(stock, ours, strict=True)]


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def _drawn(engine: Inline[Row], request: Request) -> Image:
    return next(event.picture for event in engine.run(request) if isinstance(event, Result))


def _difference(one: Image, other: Image) -> int:
    return int(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max())
