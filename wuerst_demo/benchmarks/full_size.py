"""Networks of the published sizes with random weights: time by stage and step, memory, operations.

Writes a checkpoint as the Hub stores it into a temporary folder (TMPDIR chooses where), loads it like any other,
generates images of noise, and removes the files at the end.
"""

import dataclasses
import gc
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from wuerst_demo.api import load_checkpoint
from wuerst_demo.benchmarks import random_checkpoint
from wuerst_demo.benchmarks.diffusers_baseline import create_baseline
from wuerst_demo.benchmarks.flops import count_operations
from wuerst_demo.benchmarks.measure import (
    anonymous_memory,
    describe_run,
    format_run,
    measure_time,
    record_device_peak,
    record_peak,
    write_line,
)
from wuerst_demo.benchmarks.random_checkpoint import NetworkConfigs
from wuerst_demo.checkpoints.manifest import ResolvedCheckpoint
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.devices.placement import Placement, decide_placement
from wuerst_demo.errors import SettingsError
from wuerst_demo.events import Result
from wuerst_demo.networks.loader import load_components
from wuerst_demo.placement_options import PlacementOptions
from wuerst_demo.request import Request
from wuerst_demo.settings import Settings

Loaded = tuple[Placement, Callable[[Request], Mapping[str, float]]]
"""Placement, and a function that generates a request's image and returns its seconds by stage."""

DISK_MARGIN = 1.02  #: Free disk space needed, as a multiple of the weights' size.
LOADING_SAMPLE_INTERVAL_S = 0.005


def select_configs(parts: Sequence[str]) -> NetworkConfigs:
    """Configs of full size for "prior" and "decoder" where they are among `parts`, and small ones for the rest."""
    full = tuple({"prior": "wuerstchen-prior/", "decoder": "wuerstchen/"}[part] for part in parts)
    published = random_checkpoint.PUBLISHED_CONFIGS
    return random_checkpoint.SMALL_CONFIGS | {name: published[name] for name in published if name.startswith(full)}


def measure(
    settings: Settings, request: Request, images: int, configs: NetworkConfigs, compare: bool, folder: str | None
) -> dict[str, Any]:
    """Prints a table and returns plain data. The first image warms up; `compare` adds the diffusers pipelines.

    Raises SettingsError where the temporary `folder` lacks space, and what loading raises.
    """
    with tempfile.TemporaryDirectory("", "wuerst-full-", folder, ignore_cleanup_errors=True) as temporary:
        needed, free = random_checkpoint.stored_bytes(configs), shutil.disk_usage(temporary).free
        if DISK_MARGIN * needed > free:
            raise SettingsError(
                f"The weights need {_format_gb(needed)} of disk space, and {Path(temporary).parent} has"
                f" {_format_gb(free)} free: set TMPDIR to a folder with enough space, or give --parts prior."
            )
        start = time.perf_counter()
        random_checkpoint.write_checkpoint(Path(temporary), configs, "random")
        write_line(f"{_format_gb(needed)} of random weights written in {time.perf_counter() - start:.0f} s")
        checkpoint = resolve_checkpoint(str(Path(temporary) / "wuerstchen"))
        # Each image has its own prompt, so no text embedding is cached before.
        requests = [dataclasses.replace(request, prompt=f"noise {k}", seed=k) for k in range(images)]
        placement, ours = _measure_method(partial(_load_ours, checkpoint, settings), requests)
        load_baseline = partial(_load_baseline, checkpoint, settings)
        stock = {"stock": _measure_method(load_baseline, requests)[1]} if compare else {}
    published = dataclasses.replace(request, prior_steps=29, decoder_steps=12)
    counts = {
        "asked": count_operations(configs, request),
        "published_steps": count_operations(configs, published),
        "published_steps_stock": count_operations(configs, published, stock=True),
    }
    facts = describe_run(
        torch.device(placement.device),
        request,
        f"{checkpoint.parameters:,} parameters",
        placement.dtype,
        placement={name: getattr(placement, name) for name in ("dtype", "offload", "attention", "compile")},
        parameters=checkpoint.parameters,
        weights_bytes=placement.bytes_for(checkpoint.parameters),
        operations={name: sum(stages.values()) for name, stages in counts.items()},
        ours=ours,
        **stock,
    )
    if compare:
        facts["ratio"] = facts["stock"]["settled"]["total"] / ours["settled"]["total"]
    write_line(_format_table(facts))
    return facts


def _load_ours(checkpoint: ResolvedCheckpoint, settings: Settings) -> Loaded:
    loaded = load_checkpoint(checkpoint, settings.placement)
    return loaded.placement, lambda request: next(e.seconds for e in loaded.run(request) if isinstance(e, Result))


def _load_baseline(checkpoint: ResolvedCheckpoint, settings: Settings) -> Loaded:
    """The diffusers pipelines on the same device, with the same data type, without offload."""
    placement = decide_placement(PlacementOptions(settings.device, settings.dtype, offload="none"))
    components: Any = load_components(checkpoint, placement)
    components.prior.set_default_attn_processor()
    baseline, device = create_baseline(components), torch.device(placement.device)
    return placement, lambda request: {"total": measure_time(device, lambda: baseline(request))[1]}


def _measure_method(load: Callable[[], Loaded], requests: Sequence[Request]) -> tuple[Placement, dict[str, Any]]:
    """Seconds of loading and of each image by stage, medians after the first image ("settled"), and peak bytes:
    anonymous memory while loading and generating (0 where it is not reported), device memory while generating."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    start = time.perf_counter()
    with record_peak(anonymous_memory, anonymous_memory(), LOADING_SAMPLE_INTERVAL_S) as loading:
        placement, generate = load()
    loading_s = time.perf_counter() - start
    with record_device_peak(torch.device(placement.device)) as on_device, record_peak(anonymous_memory) as on_host:
        pictures = [dict(generate(request)) for request in requests]
    later = pictures[1:] or pictures
    return placement, {
        "loading_s": loading_s,
        "loading_anonymous": loading.bytes,
        "pictures": pictures,
        "settled": {stage: median(each[stage] for each in later) for stage in later[0]},
        "device_peak": on_device.bytes,
        "host_peak": on_host.bytes,
    }


def _format_table(facts: Mapping[str, Any]) -> str:
    ours, weights, loading_peak = facts["ours"], facts["weights_bytes"], facts["ours"]["loading_anonymous"]
    steps = {"prior": facts["request"]["prior_steps"], "decoder": facts["request"]["decoder_steps"]}
    operations = "{:.1f} T for this image, {:.1f} T for 29 and 12 steps (stock {:.1f} T)"
    lines = ["", *format_run(facts, f"one image, offload {facts['placement']['offload']}"), ""]
    lines.append(f"{'':<10}{'steps':>8}{'seconds':>12}{'a step':>12}")
    for stage, seconds in ours["settled"].items():
        step = f"{seconds / steps[stage]:>12.3f}" if stage in steps else ""
        lines.append(f"{stage:<10}{steps.get(stage, ''):>8}{seconds:>12.3f}{step}")
    lines += [
        f"\nfirst image {ours['pictures'][0]['total']:.2f} s, {len(ours['pictures']) - 1} later",
        "operations: " + operations.format(*(count / 1e12 for count in facts["operations"].values())),
        f"weights {_format_gb(weights)}; loading {ours['loading_s']:.1f} s, peak"
        f" {_format_gb(loading_peak)} of anonymous memory ({loading_peak / weights:.2f} of the weights)",
        f"peak memory while generating: {_format_gb(ours['device_peak'])} on the device,"
        f" {_format_gb(ours['host_peak'])} anonymous in main memory",
    ]
    if stock := facts.get("stock"):
        lines.append(
            f"stock: {stock['settled']['total']:.2f} s, stock / ours {facts['ratio']:.3f};"
            f" {_format_gb(stock['device_peak'])} on the device, {_format_gb(stock['host_peak'])} in main memory"
        )
    return "\n".join(lines)


def _format_gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
