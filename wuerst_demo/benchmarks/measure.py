"""Time, memory and environment of a measurement, shared by all benchmarks."""

import platform
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import diffusers
import psutil
import torch
import transformers
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from wuerst_demo.devices.hardware import cpu_name
from wuerst_demo.networks.components import CascadeComponents
from wuerst_demo.networks.text_kv_cache import TextKVCache
from wuerst_demo.request import Request

R = TypeVar("R")

SAMPLE_INTERVAL_S = 0.02


def describe_run(
    device: torch.device, request: Request, checkpoint: str, dtype: object, **facts: object
) -> dict[str, Any]:
    """Plain data: `facts`, CPU and threads ("machine"), device, versions, and the request without prompts."""
    return {
        "checkpoint": checkpoint,
        "dtype": str(dtype).removeprefix("torch."),
        **facts,
        "machine": f"{cpu_name()}, threads: {torch.get_num_threads()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "versions": {
            "Python": platform.python_version(),
            **{library.__name__: library.__version__ for library in (torch, diffusers, transformers)},
        },
        "request": describe_request(request),
    }


def describe_request(request: Request) -> dict[str, Any]:
    """The settings of a request, without prompts."""
    return {name: value for name, value in vars(request).items() if "prompt" not in name}


def format_sampling(settings: Mapping[str, Any], name: str = "") -> str:
    """Steps, sampler and guidance of a request's settings in one line."""
    begin, end = settings["guidance_from"], settings["guidance_to"]
    interval = "" if (begin, end) == (0, 1) else f", guided from {begin:g} to {end:g}"
    return (
        f"{name}prior {settings['prior_steps']} steps ({settings['prior_schedule']}), guidance"
        f" {settings['prior_guidance']:g}; decoder {settings['decoder_steps']} steps, guidance"
        f" {settings['decoder_guidance']:g}; {settings['sampler']}{interval}"
    )


def format_run(facts: Mapping[str, Any], requested: str) -> list[str]:
    """Lines for a table's head, from the data of `describe_run`."""
    r = facts["request"]
    return [
        f"{facts['checkpoint']}, {r['width']} x {r['height']}, {requested}",
        format_sampling(r),
        f"{facts['machine']}; {facts['device']}, {facts['dtype']}",
        ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
    ]


def write_line(text: str) -> None:
    """Prints to standard output at once, so that a long benchmark shows what it has so far."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def measure_time(device: torch.device, work: Callable[[], R]) -> tuple[R, float, float]:
    """Result of `work`, its wall-clock seconds (device work included) and its CPU seconds.

    CPU seconds add up all threads of this process and no other program, so they compare better on a busy machine.
    """
    synchronize(device)
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    synchronize(device)
    return result, time.perf_counter() - wall, time.process_time() - cpu


def synchronize(device: torch.device) -> None:
    """Waits for the kernels queued on an accelerator."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


@contextmanager
def record_forward_time(components: CascadeComponents, device: torch.device) -> Iterator[dict[str, float]]:
    """Adds up the forward passes of all five networks inside the `with` block: "seconds" and "passes".

    Filling the text KV cache adds to the seconds but is not a pass. Each pass is synchronized, so on an accelerator
    the block as a whole takes longer than usual.
    """
    total, starts = {"seconds": 0.0, "passes": 0}, list[float]()

    def enter(*_: object) -> None:
        synchronize(device)
        starts.append(time.perf_counter())

    def leave(*_: object) -> None:
        synchronize(device)
        total["seconds"] += time.perf_counter() - starts.pop()
        total["passes"] += 1

    def timed(compute_text_kv: Callable[[Tensor], Tensor], text: Tensor) -> Tensor:
        cached, seconds, _ = measure_time(device, lambda: compute_text_kv(text))
        total["seconds"] += seconds
        return cached

    whole = (components.prior, components.decoder, components.prior_text_encoder, components.decoder_text_encoder)
    # The VQGAN runs `decode`, not `forward`: hooks go on its first and last module.
    hooks = [module.register_forward_pre_hook(enter) for module in (*whole, components.vqgan.up_blocks)]
    hooks += [module.register_forward_hook(leave) for module in (*whole, components.vqgan.out_block)]
    cached: list[Any] = [each for each in whole if isinstance(each, TextKVCache)]
    for network in cached:
        network.compute_text_kv = partial(timed, network.compute_text_kv)
    try:
        yield total
    finally:
        for hook in hooks:
            hook.remove()
        for network in cached:
            del network.compute_text_kv  # uncovers the method of the class


def profile_operators(device: torch.device, work: Callable[[], object], most: int = 12) -> list[dict[str, Any]]:
    """The operators that take the most time of `work`, on a GPU that of the kernels that they launch: name, calls,
    milliseconds and share."""
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities, acc_events=True) as profiler:
        work()
        synchronize(device)

    def own_ms(operator: Any) -> float:
        return float(operator.self_device_time_total if on_gpu else operator.self_cpu_time_total) / 1000

    # Kernels are listed beside the operators that launch them; only one of both counts.
    found = [each for each in profiler.key_averages() if each.device_type.name == "CPU"]
    operators = sorted(found, key=own_ms, reverse=True)
    total_ms = sum(map(own_ms, operators)) or 1.0
    return [
        {"name": each.key[:100], "calls": each.count, "ms": own_ms(each), "share": own_ms(each) / total_ms}
        for each in operators[:most]
    ]


def memory_in_use(device: torch.device) -> int:
    """Bytes of tensors on a CUDA device; elsewhere the resident memory of this process."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def anonymous_memory(pid: int | str = "self") -> int:
    """Resident bytes of a process without the pages of mapped files; 0 where the system does not report them."""
    try:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


@contextmanager
def record_peak(
    sample: Callable[[], int], base: int = 0, interval_s: float = SAMPLE_INTERVAL_S
) -> Iterator[SimpleNamespace]:
    """Largest sample inside a `with` block, in `bytes` above `base`; a thread takes one every `interval_s`."""
    peak, finished = SimpleNamespace(bytes=0), threading.Event()

    def take() -> None:
        peak.bytes = max(peak.bytes, sample() - base)

    def run() -> None:
        while not finished.wait(interval_s):
            take()

    thread = threading.Thread(target=run, name="memory", daemon=True)
    take()
    thread.start()
    try:
        yield peak
    finally:
        finished.set()
        thread.join()
        take()


def record_device_peak(device: torch.device, base: int = 0) -> AbstractContextManager[SimpleNamespace]:
    """The peak of `memory_in_use`, which CUDA records itself."""
    if device.type != "cuda":
        return record_peak(lambda: memory_in_use(device), base)
    torch.cuda.reset_peak_memory_stats(device)
    return record_peak(lambda: torch.cuda.max_memory_allocated(device), base)
