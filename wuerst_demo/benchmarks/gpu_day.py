"""A day with a GPU, in nine minutes: what there is to measure on one, most important first.

Networks of the published sizes with random weights, generated on the device, so that nothing is downloaded and no disk
is needed. Every figure is appended to a file as soon as it is there, one JSON object a line; at the end, or where the
time is up, the Markdown for docs/benchmarks.md is printed.
"""

import _thread
import copy
import dataclasses
import gc
import json
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from wuerst_demo.benchmarks import diffusers_baseline, workload
from wuerst_demo.benchmarks.flops import count_operations, measure_matrix_peak
from wuerst_demo.benchmarks.gpu_day_report import format_report
from wuerst_demo.benchmarks.measure import (
    describe_run,
    measure_time,
    memory_in_use,
    profile_operators,
    record_device_peak,
    write_line,
)
from wuerst_demo.benchmarks.random_checkpoint import (
    PUBLISHED_CONFIGS,
    SMALL_CONFIGS,
    NetworkConfigs,
    random_components,
)
from wuerst_demo.devices.placement import Placement, decide_placement
from wuerst_demo.engine.engine import Engine
from wuerst_demo.errors import SettingsError, UserError
from wuerst_demo.events import Result
from wuerst_demo.networks.compile import compile_networks
from wuerst_demo.networks.components import CascadeComponents
from wuerst_demo.networks.offload import NETWORK_NAMES, apply_offload
from wuerst_demo.pipeline.cascade import Cascade
from wuerst_demo.placement_options import PlacementOptions
from wuerst_demo.request import Limits, Request
from wuerst_demo.settings import Settings

Facts = dict[str, Any]
Generate = Callable[[Request], Mapping[str, float]]
"""Generates the image of a request; returns its seconds by stage, "total" at least."""

MAX_IMAGES = 4  #: Timed images of a case, after one that warms up.
MAX_CASE_S = 30.0  #: No further image is begun in a case that has taken as long.
CROWD_SIZES = (8, 1)
STEP_RUNS = 5
FULL_REQUEST = {"width": 1024, "height": 1024, "prior_steps": 29, "decoder_steps": 12}
SMALL_REQUEST = {"width": 128, "height": 128, "prior_steps": 3, "decoder_steps": 2}


@dataclass(frozen=True)
class GpuDay:
    """What is measured, and on which device."""

    configs: NetworkConfigs
    request: Request
    placement: Placement

    @classmethod
    def plan(cls, small: bool) -> "GpuDay":
        """The published sizes, or small ones to try the command. Raises PlacementError."""
        configs, values = (SMALL_CONFIGS, SMALL_REQUEST) if small else (PUBLISHED_CONFIGS, FULL_REQUEST)
        guidance = {"prior_guidance": 4.0, "decoder_guidance": 0.0}
        request = Limits().request({"prompt": "", "seed": 0, "weighting": False, **guidance, **values})
        return cls(configs, request, decide_placement(PlacementOptions(offload="none")))

    @property
    def device(self) -> torch.device:
        return torch.device(self.placement.device)

    @cached_property
    def both(self) -> tuple[CascadeComponents, CascadeComponents]:
        """Components as diffusers loads them, and optimized ones with the same weights."""
        return diffusers_baseline.separate(random_components(self.configs, self.placement))

    def generate(self, components: CascadeComponents) -> Generate:
        """Generates with the engine, as the program does."""
        engine = Engine(Cascade(components, Limits(), device=self.placement.device))
        return lambda request: next(e.seconds for e in engine.run(request) if isinstance(e, Result))


def measure_environment(day: GpuDay) -> Facts:
    facts = describe_run(day.device, day.request, "random weights", day.placement.dtype)
    operations = count_operations(day.configs, day.request)
    peak = measure_matrix_peak(day.device, getattr(torch, day.placement.dtype))
    return facts | {"operations": sum(operations.values()), "matrix_peak": peak}


def profile_steps(day: GpuDay) -> Facts:
    """Milliseconds of a step of each network, and the operators in which they go."""
    cascade = Cascade(day.both[1], Limits())
    (state,) = cascade.begin(dataclasses.replace(day.request, prior_steps=1, decoder_steps=1))
    facts = Facts()
    while state.stage != "vqgan":
        step = partial(cascade.step, [state])
        (after,) = step()
        milliseconds = [1000 * measure_time(day.device, step)[1] for _ in range(STEP_RUNS)]
        facts[state.stage] = {"ms": median(milliseconds), "operators": profile_operators(day.device, step)}
        if isinstance(after, UserError):
            raise after
        state = after
    return facts


def measure_images(day: GpuDay, generate: Generate, request: Request, resident: int) -> Facts:
    """Seconds of the first image ("first_s") and of later ones by stage ("seconds", medians; "runs", each), and peak
    bytes on the device: `resident` bytes of weights and what comes on top."""
    start, base, runs = time.perf_counter(), memory_in_use(day.device), list[Mapping[str, float]]()
    with record_device_peak(day.device, base) as peak:
        for number in range(MAX_IMAGES + 1):
            if number > 1 and time.perf_counter() - start > MAX_CASE_S:
                break
            each = dataclasses.replace(request, prompt=f"noise {number}", seed=number)
            stages, seconds, _ = measure_time(day.device, partial(generate, each))
            runs.append({**stages, "total": seconds})
    first, *later = runs
    medians = {stage: median(run[stage] for run in later) for stage in later[0]}
    return {"first_s": first["total"], "seconds": medians, "runs": runs, "peak_bytes": resident + peak.bytes}


def measure_ours(day: GpuDay, **changes: object) -> Facts:
    request = dataclasses.replace(day.request, **changes)  # type: ignore[arg-type]
    _, ours = day.both
    return measure_images(day, day.generate(ours), request, weight_bytes(ours))


def measure_guided_interval(day: GpuDay) -> Facts:
    """Guidance of the prior in the middle six tenths of its way only."""
    return measure_ours(day, guidance_from=0.2, guidance_to=0.8)


def measure_half_the_steps(day: GpuDay) -> Facts:
    steps = {"prior_steps": day.request.prior_steps // 2, "decoder_steps": day.request.decoder_steps // 2}
    return measure_ours(day, sampler="ddim", **steps)


def measure_stock(day: GpuDay) -> Facts:
    stock, _ = day.both
    baseline = diffusers_baseline.create_baseline(stock)

    def generate(request: Request) -> Mapping[str, float]:
        baseline(request)
        return {}

    return measure_images(day, generate, day.request, weight_bytes(stock))


def measure_compiled(day: GpuDay) -> Facts:
    """Compiles `day`'s own networks, so this case comes last."""
    _, ours = day.both
    forwards = compile_networks(ours)
    facts = measure_images(day, day.generate(ours), day.request, weight_bytes(ours))
    if failure := next((each.failure for each in forwards if each.failure), ""):
        return {"failed": failure}
    return facts


def measure_offload(day: GpuDay, mode: str) -> Facts:
    if day.device.type != "cuda":
        return {"failed": "offload needs a GPU"}
    copies = {name: copy.deepcopy(getattr(day.both[1], name)).to("cpu") for name in NETWORK_NAMES}
    components = dataclasses.replace(day.both[1], **copies)
    apply_offload(components, dataclasses.replace(day.placement, offload=mode))
    return measure_images(day, day.generate(components), day.request, 0)


def measure_crowd(day: GpuDay, clients: int) -> Facts:
    """Images a second, and seconds until the last client's image, where all clients come at once, each with a prompt
    of its own; the second of two such crowds."""
    _, ours = day.both
    base = memory_in_use(day.device)
    with (
        Engine(Cascade(ours, Limits()), max_images=clients) as engine,
        record_device_peak(day.device, base) as peak,
    ):
        for crowd in range(2):
            arrivals = [
                workload.Arrival(k, 0.0, dataclasses.replace(day.request, prompt=f"noise {crowd} {k}", seed=k))
                for k in range(clients)
            ]
            latencies, seconds, _ = measure_time(day.device, partial(workload.serve_with_engine, engine, arrivals))
    return {
        "clients": clients,
        "images_per_s": clients / seconds,
        "last_image_s": max(each.image_s for each in latencies),
        "peak_bytes": weight_bytes(ours) + peak.bytes,
    }


def measure_cocktail(day: GpuDay) -> Facts:
    """The shipped checkpoint at its defaults, in the dtype that is chosen here: stock, ours, and eight clients."""
    settings = Settings(device=day.placement.device)
    checkpoint = diffusers_baseline.resolve_for_comparison(settings)
    request = checkpoint.info.limits.request({"prompt": "", "seed": 0})
    cocktail = GpuDay({}, request, day.placement)
    cocktail.__dict__["both"] = diffusers_baseline.load_both(settings, checkpoint)[:2]
    crowd = measure_crowd(cocktail, max(CROWD_SIZES))
    return {"stock": measure_stock(cocktail), "ours": measure_ours(cocktail), "crowd": crowd}


CASES: Mapping[str, Callable[[GpuDay], Facts]] = {
    "environment": measure_environment,
    "profile": profile_steps,
    "ours": measure_ours,
    "stock": measure_stock,
    "ours, guidance from 0.2 to 0.8": measure_guided_interval,
    "ours, DDIM, half the steps": measure_half_the_steps,
    **{f"crowd of {clients}": partial(measure_crowd, clients=clients) for clients in CROWD_SIZES},
    **{f"offload {mode}": partial(measure_offload, mode=mode) for mode in ("model", "sequential")},
    "cocktail": measure_cocktail,
    "ours compiled": measure_compiled,
}
"""Name -> measurement, most important first; compiling last, because it takes minutes."""


def measure(
    day: GpuDay, limit_s: float, file: Path, cases: Mapping[str, Callable[[GpuDay], Facts]] = CASES
) -> list[Facts]:
    """Measures all cases for at most `limit_s` seconds, appends each to `file` and prints the Markdown. A case that
    fails says why and does not keep the others from being measured. Raises SettingsError, before anything is measured,
    if the file cannot be written."""
    try:
        file.open("a", encoding="utf-8").close()
    except OSError as error:
        raise SettingsError(f"--file: {file} cannot be written ({error.strerror}); choose another.") from error
    start, records = time.perf_counter(), list[Facts]()
    alarm = threading.Timer(limit_s, _thread.interrupt_main)
    alarm.daemon = True
    # A program that a shell script starts in the background ignores interrupts, the alarm's too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    alarm.start()
    try:
        for name, case in cases.items():
            try:
                facts = case(day)
            except Exception as error:  # noqa: BLE001 - time on a GPU is dear: the other cases are still measured
                facts = {"failed": (str(error).strip().splitlines() or [type(error).__name__])[0][:200]}
            gc.collect()
            if day.device.type == "cuda":
                torch.cuda.empty_cache()
            record = {"case": name, "at_s": time.perf_counter() - start, **facts}
            records.append(record)
            with file.open("a", encoding="utf-8") as opened:
                opened.write(json.dumps(record, ensure_ascii=False) + "\n")
            write_line(f"{record['at_s']:6.1f} s  {name}{': ' + facts['failed'] if 'failed' in facts else ''}")
    except KeyboardInterrupt:
        write_line(f"{time.perf_counter() - start:6.1f} s  stopped; what is missing was not measured")
    finally:
        alarm.cancel()
        signal.signal(signal.SIGINT, before)
    write_line("\n" + format_report(records))
    return records


def weight_bytes(components: CascadeComponents) -> int:
    """Bytes of all parameters."""
    networks = [getattr(components, name) for name in NETWORK_NAMES]
    return sum(each.numel() * each.element_size() for network in networks for each in network.parameters())
