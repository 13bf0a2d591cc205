"""`python -m wuerst_demo.bench.fullsize`: the published networks' sizes, with weights that nobody trained.

Writes a checkpoint as the Hub stores it (12.4 GB in float32; `--parts` leaves out half) into a temporary folder, loads
it as any other, and draws pictures of noise: time by stage and step, and memory, are those of the real one. `--compare`
loads the same files again and draws with the stock pipelines, which know no offload here. Prints a table and one last
line of JSON. Set TMPDIR to have the files elsewhere; they are removed at the end.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wuerst_demo import arguments
from wuerst_demo.arguments import Flag
from wuerst_demo.bench.given import pair, whole
from wuerst_demo.errors import SettingsError, WuerstError
from wuerst_demo.events import Result
from wuerst_demo.request import Limits, Request
from wuerst_demo.settings import Group, Settings

if TYPE_CHECKING:
    from wuerst_demo.bench.published import Networks
    from wuerst_demo.model.located import Located

_GROUPS: tuple[Group, ...] = ("placement",)
_SECTION = "Benchmark"
_FLAGS = (
    Flag("--parts", "parts", "What is of full size: prior,decoder (default), prior or decoder.", "P", section=_SECTION),
    Flag("--size", "size", "Pixels of each side. Default: 1024.", "N", section=_SECTION),
    Flag("--steps", "steps", "Evaluations. Default: 4,2; published pictures take 29,12.", "P,D", section=_SECTION),
    Flag("--pictures", "pictures", "How many; the first warms up and counts last. Default: 2.", "N", section=_SECTION),
    Flag("--compare", "compare", "Draw with the stock pipelines too.", section=_SECTION),
)
ROOM = 1.02
"""Of the weights' size, what has to be free on the disk."""


@dataclass
class Ways:
    """One way of drawing: how long loading and each picture took, by stage, and the most memory, in bytes.

    `loading_anonymous` is the main memory that loading took at most beyond what was in use before, without the pages
    of mapped files; 0 where the system does not tell.
    """

    loading_s: float = 0.0
    loading_anonymous: int = 0
    pictures: list[dict[str, float]] = field(default_factory=list)
    device_peak: int = 0
    host_peak: int = 0

    @property
    def settled(self) -> dict[str, float]:
        """Seconds by stage, and "total": medians of the pictures after the first, or the only one."""
        later = self.pictures[1:] or self.pictures
        return {stage: statistics.median(each[stage] for each in later) for stage in later[0]}


def main(
    argv: Sequence[str],
    env: Mapping[str, str],
    networks: Networks | None = None,
    free: Callable[[str], int] = lambda folder: shutil.disk_usage(folder).free,
) -> int:
    """Measure and print; 0, or 2 with one line for a mistake. In tests, `networks` takes the published ones' place, and
    `free`, the bytes a folder has room for, the disk's."""
    try:
        flags = [*_FLAGS, *Settings.flags(_GROUPS)]
        given = arguments.read(argv, flags)
        if given.help:
            sys.stdout.write(f"python -m wuerst_demo.bench.fullsize [options]\n\n{arguments.described(flags)}\n")
            return 0
        if given.words:
            raise SettingsError("fullsize takes options only; --help lists them.")
        settings = Settings.of(given.texts, env, _GROUPS)
        size = whole("--size", given.texts.get("size", "1024"))
        prior_steps, decoder_steps = pair("--steps", given.texts.get("steps", "4,2"))
        steps = {"prior_steps": prior_steps, "decoder_steps": decoder_steps}
        values = {"prompt": "noise", "seed": 0, "width": size, "height": size, "prior_guidance": 4.0}
        request = Limits().request({**values, **steps, "decoder_guidance": 0.0})
        pictures = whole("--pictures", given.texts.get("pictures", "2"))
        for library in ("TRANSFORMERS", "DIFFUSERS"):
            os.environ.setdefault(f"{library}_VERBOSITY", "error")
        chosen = _networks(given.texts.get("parts", "prior,decoder"), networks)
        with tempfile.TemporaryDirectory("", "wuerst-full-", env.get("TMPDIR") or None, True) as folder:
            _write(chosen, folder, free(folder))
            _measure(settings, request, pictures, chosen, folder, "compare" in given.texts)
    except WuerstError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _networks(parts: str, networks: Networks | None) -> Networks:
    """Full size for these, small ones for the others. Raises SettingsError."""
    from wuerst_demo.bench.published import PUBLISHED, SMALL

    folders = {"prior": "wuerstchen-prior/", "decoder": "wuerstchen/"}
    names = parts.split(",")
    if not set(names) <= set(folders):
        raise SettingsError("--parts takes prior, decoder, or both with a comma between them.")
    full = tuple(folders[name] for name in names)
    of_full_size = networks or PUBLISHED
    return {place: (of_full_size if place.startswith(full) else SMALL)[place] for place in of_full_size}


def _write(networks: Networks, folder: str, free: int) -> None:
    """The checkpoint, in `folder`. Raises SettingsError if so many free bytes are too few."""
    from wuerst_demo.bench.published import stored_bytes, write

    needed = stored_bytes(networks)
    if ROOM * needed > free:
        raise SettingsError(
            f"The weights take {_gb(needed)} on the disk, and {Path(folder).parent} has {_gb(free)} free: set TMPDIR to"
            " a folder that has room, or give --parts prior."
        )
    began = time.perf_counter()
    write(Path(folder), networks, "random")
    _say(f"{_gb(needed)} of random weights written in {time.perf_counter() - began:.0f} s")


def _measure(
    settings: Settings, request: Request, pictures: int, networks: Networks, folder: str, compare: bool
) -> None:
    from wuerst_demo.bench.flops import count
    from wuerst_demo.bench.machine import machine, versions
    from wuerst_demo.model.files import locate
    from wuerst_demo.model.machine import HERE

    located = locate(str(Path(folder) / "wuerstchen"))
    ours = Ways()
    placement = _draw(ours, located, settings, request, pictures)
    ways = {"ours": ours}
    if compare:
        ways["stock"] = Ways()
        _draw_stock(ways["stock"], located, settings, request, pictures)
    published = dataclasses.replace(request, prior_steps=29, decoder_steps=12)
    counted = {
        "asked": sum(count(networks, request).values()),
        "published_steps": sum(count(networks, published).values()),
        "published_steps_stock": sum(count(networks, published, stock=True).values()),
    }
    weights = placement.bytes_for(located.parameters)
    facts = {
        "machine": machine(),
        "device": HERE.memory(placement.device).name,
        "placement": {name: getattr(placement, name) for name in ("dtype", "offload", "attention", "compile")},
        "versions": versions(),
        "request": {k: v for k, v in vars(request).items() if "prompt" not in k},
        "parameters": located.parameters,
        "weights_bytes": weights,
        "operations": counted,
        **{way: {**vars(found), "settled": found.settled} for way, found in ways.items()},
    }
    if compare:
        facts["ratio"] = ways["stock"].settled["total"] / ours.settled["total"]
    _say(_table(facts, ways, request))
    _say(json.dumps(facts, ensure_ascii=False))


def _draw(found: Ways, located: Located, settings: Settings, request: Request, pictures: int) -> Any:
    """Loads and draws as the program does; the placement it took."""
    import torch

    from wuerst_demo.api import load_located
    from wuerst_demo.bench.memory import anonymous, peak, watched

    placed = {name: getattr(settings, name) for name in ("device", "dtype", "offload", "attention", "compile")}
    began = time.perf_counter()
    with watched(anonymous, anonymous(), 0.005) as taken:
        wuerstchen = load_located(located, **placed)
    found.loading_s, found.loading_anonymous = time.perf_counter() - began, taken.bytes
    _say(f"loaded in {found.loading_s:.0f} s with at most {_gb(taken.bytes)} of anonymous memory")
    device = torch.device(wuerstchen.placement.device)
    with peak(device, 0) as on_device, watched(anonymous) as host:
        for number in range(pictures):
            (result,) = (event for event in wuerstchen.run(_numbered(request, number)) if isinstance(event, Result))
            found.pictures.append(dict(result.seconds))
    found.device_peak, found.host_peak = on_device.bytes, host.bytes
    return wuerstchen.placement


def _draw_stock(found: Ways, located: Located, settings: Settings, request: Request, pictures: int) -> None:
    """The same with the stock pipelines, on the same device and in the same type."""
    import torch

    from wuerst_demo.bench.clock import timed
    from wuerst_demo.bench.memory import anonymous, peak, watched
    from wuerst_demo.bench.stock import Stock
    from wuerst_demo.model.checkpoint import load_parts
    from wuerst_demo.model.placement import decide

    gc.collect()
    placement = decide(settings.device, settings.dtype, "none")
    device = torch.device(placement.device)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    began = time.perf_counter()
    with watched(anonymous, anonymous(), 0.005) as taken:
        parts = load_parts(located, placement)
    found.loading_s, found.loading_anonymous = time.perf_counter() - began, taken.bytes
    prior: Any = parts.prior
    prior.set_default_attn_processor()
    stock = Stock(parts)
    with peak(device, 0) as on_device, watched(anonymous) as host:
        for number in range(pictures):
            _, seconds, _ = timed(device, functools.partial(stock.draw, _numbered(request, number)))
            found.pictures.append({"total": seconds})
    found.device_peak, found.host_peak = on_device.bytes, host.bytes


def _numbered(request: Request, number: int) -> Request:
    """Each picture has a prompt and a seed of its own, so that no text is there before its picture begins."""
    return dataclasses.replace(request, prompt=f"{request.prompt} {number}", seed=number)


def _table(facts: Mapping[str, Any], ways: Mapping[str, Ways], request: Request) -> str:
    """For people."""
    placement, counted, ours = facts["placement"], facts["operations"], ways["ours"]
    settled, weights = ours.settled, facts["weights_bytes"]
    steps = {"prior": request.prior_steps, "decoder": request.decoder_steps}
    lines = [
        "",
        f"{facts['parameters']:,} parameters, {request.width} x {request.height}, one picture",
        f"{facts['machine']}; {facts['device']}, {placement['dtype']}, offload {placement['offload']}",
        ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
        "",
        f"{'':<10}{'steps':>8}{'seconds':>12}{'a step':>12}",
    ]
    for stage, seconds in settled.items():
        each = f"{seconds / steps[stage]:>12.3f}" if stage in steps else ""
        lines.append(f"{stage:<10}{steps.get(stage, ''):>8}{seconds:>12.3f}{each}")
    lines += [
        "",
        f"first picture {ours.pictures[0]['total']:.2f} s, {len(ours.pictures) - 1} later",
        f"operations: {counted['asked'] / 1e12:.1f} T for this picture,"
        f" {counted['published_steps'] / 1e12:.1f} T for 29 and 12 steps"
        f" (stock {counted['published_steps_stock'] / 1e12:.1f} T)",
        f"weights {_gb(weights)}; loading {ours.loading_s:.1f} s, at most {_gb(ours.loading_anonymous)} of anonymous"
        f" memory ({ours.loading_anonymous / weights:.2f} of the weights)",
        f"most memory while drawing: {_gb(ours.device_peak)} on the device,"
        f" {_gb(ours.host_peak)} anonymous in main memory",
    ]
    if "stock" in ways:
        stock = ways["stock"]
        lines.append(
            f"stock: {stock.settled['total']:.2f} s, stock / ours {facts['ratio']:.3f};"
            f" {_gb(stock.device_peak)} on the device, {_gb(stock.host_peak)} in main memory"
        )
    return "\n".join(lines)


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
