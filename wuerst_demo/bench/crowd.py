"""The same crowds served by stock diffusers and by our engine, on the same weights, one after the other in one run.

Three ways: "stock", its pipelines for one request after another; "stock, one prompt", the same with
`num_images_per_prompt` for as many as wait for one size, who then all get the first one's prompt; "ours", the page's
engine. Does not know the command line.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from wuerst_demo.bench.arrivals import Size, Visit, at_once, mixed, stream
from wuerst_demo.bench.clock import timed
from wuerst_demo.bench.loading import both, refuse
from wuerst_demo.bench.machine import machine, name_of, versions
from wuerst_demo.bench.memory import peak, taken
from wuerst_demo.bench.report import WAYS, Crowd, Setting
from wuerst_demo.bench.service import Wish, at_engine, in_line
from wuerst_demo.bench.stock import Stock
from wuerst_demo.bench.tally import Round, Seen
from wuerst_demo.engine.local import Local
from wuerst_demo.model.cascade import Cascade
from wuerst_demo.model.files import locate
from wuerst_demo.model.known import limits_of
from wuerst_demo.request import Limits, Request
from wuerst_demo.settings import Settings

Serve = Callable[[Sequence[Wish]], list[Seen]]
WARM = 3
"""Pictures of each size by which stock's own pace is measured, after one that is not counted."""


@dataclass(frozen=True)
class Plan:
    """Which crowds come. `loads` are percent of what stock can carry, 0 for all at once; a shape is "same" or "mixed".

    Each crowd comes `rounds` times, with other prompts and seeds.
    """

    people: Sequence[int] = (1, 2, 4, 8, 16)
    loads: Sequence[int] = (0, 50, 80, 120)
    shapes: Sequence[str] = ("same", "mixed")
    rounds: int = 1


@dataclass(frozen=True)
class Bench:
    """Loaded weights, and the three ways to serve a crowd with them."""

    ways: Mapping[str, Serve]
    limits: Limits
    values: Mapping[str, object]
    device: torch.device
    base: int

    def wishes(self, visits: Sequence[Visit], number: int) -> list[Wish]:
        """What these visitors ask for, with prompts and seeds that come only once. Raises InvalidRequest."""
        return [
            Wish(visit, self.request(visit.size, f"a picture for the crowd, number {number} {visit.person}", number))
            for visit in visits
        ]

    def request(self, size: Size, prompt: str = "a picture", number: int = 0) -> Request:
        """One picture. Raises InvalidRequest where the checkpoint cannot draw that size."""
        sized = {"width": size[0], "height": size[1]}
        return self.limits.request({"seed": number, **self.values, **sized, "prompt": prompt, "images": 1})

    def serve(self, crowd: Crowd, visits: Sequence[Visit], number: int) -> None:
        """Adds a round to `crowd`: each way serves the same visitors, in an order that turns with `number`."""
        for k in range(len(WAYS)):
            way = WAYS[(k + number) % len(WAYS)]
            wishes = self.wishes(visits, number)
            with peak(self.device, self.base) as most:
                seen, _, processor = timed(self.device, partial(self.ways[way], wishes))
            crowd.rounds[way].append(Round(seen, most.bytes, processor))


def crowds(
    settings: Settings, values: Mapping[str, object], plan: Plan, rows_at_once: int
) -> Iterator[Setting | Crowd]:
    """First what is measured on what, then each crowd of the plan as soon as all ways have served it.

    `values` go over the checkpoint's defaults for a request. Raises what loading, placing and checking raise.
    """
    refuse(settings)
    located = locate(settings.model, settings.prior, settings.vqgan, settings.lora)
    limits = limits_of(located)
    plain = limits.request({**values, "prompt": "", "seed": 0, "images": 1})
    sizes = {"same": [(plain.width, plain.height)], "mixed": mixed((plain.width, plain.height))}
    for size in {size for shape in plan.shapes for size in sizes[shape]}:  # refused before anything is loaded
        limits.request({**values, "width": size[0], "height": size[1], "prompt": "", "seed": 0, "images": 1})
    published, parts = both(settings, located)
    stock, device = Stock(published), parts.prior.device
    with Local(Cascade(parts, limits), rows_at_once, waiting=max(plan.people)) as engine:
        ways: dict[str, Serve] = {
            "stock": lambda wishes: in_line(stock.draw, wishes),
            "stock, one prompt": lambda wishes: in_line(stock.draw, wishes, rows_at_once),
            "ours": lambda wishes: at_engine(engine, wishes),
        }
        bench = Bench(ways, limits, values, device, taken(device))
        paces = {size: _pace(bench, stock, engine, size) for shape in plan.shapes for size in sizes[shape]}
        carried = {shape: 1 / statistics.mean(paces[size] for size in sizes[shape]) for shape in plan.shapes}
        yield Setting(
            checkpoint=located.name,
            machine=machine(),
            device=name_of(device),
            dtype=str(parts.prior.dtype).removeprefix("torch."),
            rows_at_once=rows_at_once,
            versions=versions(),
            request=plain,
            carried=carried,
        )
        number = 0
        for shape in plan.shapes:
            for load in plan.loads:
                for people in plan.people:
                    crowd = Crowd(people, load, shape)
                    for _ in range(plan.rounds):
                        number += 1
                        rate = carried[shape] * load / 100
                        visits = (
                            stream(people, sizes[shape], rate, random.Random(number))
                            if load
                            else at_once(people, sizes[shape])
                        )
                        bench.serve(crowd, visits, number)
                    yield crowd


def _pace(bench: Bench, stock: Stock, engine: Local[Any], size: Size) -> float:
    """Seconds that stock takes for a picture of this size; both have drawn one before."""
    request = bench.request(size)
    stock.draw(request)
    list(engine.run(request))
    return statistics.median(timed(bench.device, lambda: stock.draw(request))[1] for _ in range(WARM))
