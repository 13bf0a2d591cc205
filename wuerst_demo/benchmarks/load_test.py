"""The same clients served by the diffusers pipelines and by this project's engine, on the same weights, in turn.

Three methods: "stock", the pipelines for one request after another; "stock, one prompt", the same with
`num_images_per_prompt` for clients that wait for one size, who all get the first one's prompt; "ours", the engine of
the web UI.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean, median
from typing import Any

import torch

from wuerst_demo.benchmarks import diffusers_baseline, workload
from wuerst_demo.benchmarks.measure import (
    describe_run,
    format_run,
    measure_time,
    memory_in_use,
    record_device_peak,
    write_line,
)
from wuerst_demo.benchmarks.statistics import ClientLatency, LoadRun, summarize
from wuerst_demo.engine.engine import Engine
from wuerst_demo.pipeline.cascade import Cascade
from wuerst_demo.request import Request
from wuerst_demo.settings import Settings

Serve = Callable[[Sequence[float], str, int], dict[str, LoadRun]]
METHODS = ("stock", "stock, one prompt", "ours")
BASELINE_RUNS = 3  #: Timed images of each size for the baseline's own throughput, after one that is not counted.
_HEADER = (
    "\nSeconds from arrival to a preview and to the image: median, p95, and the last client's first preview.\n"
    "Jain's index of the clients' rates. Peak memory above that after loading.\n"
    "CPU seconds for an image, which compare better on a busy machine.\n\n"
    f"{'':<20}{'images/s':>11}{'preview':>9}{'p95':>9}{'last':>9}{'image':>10}{'p95':>9}{'Jain':>8}{'MiB':>7}"
    f"{'processor':>11}"
)


@dataclass(frozen=True)
class LoadPlan:
    """The cases of a load test: every number of clients at every load, for every shape."""

    clients: Sequence[int]
    loads: Sequence[int]  #: Arrival rate in percent of the baseline's throughput; 0: all at once.
    shapes: Sequence[str]  #: "same": one size; "mixed": three that cannot share a forward pass.
    repeat: int  #: Runs of each case, with other prompts and seeds.


def measure(settings: Settings, values: Mapping[str, object], plan: LoadPlan, batch_size: int) -> dict[str, Any]:
    """Runs all cases, prints each as it is finished, and returns plain data. `values` override the defaults of a
    request; `batch_size` is the most image states in a forward pass. Raises WuerstError."""
    checkpoint = diffusers_baseline.resolve_for_comparison(settings)
    limits = checkpoint.info.limits

    def create_request(size: workload.ImageSize, prompt: str = "a picture", seed: int = 0) -> Request:
        sized = {"width": size[0], "height": size[1]}
        return limits.request({"seed": seed, **values, **sized, "prompt": prompt, "images": 1})

    request = limits.request({**values, "prompt": "", "seed": 0, "images": 1})
    size = (request.width, request.height)
    sizes = {shape: workload.mixed_sizes(size) if shape == "mixed" else [size] for shape in plan.shapes}
    for size in itertools.chain(*sizes.values()):
        create_request(size)  # rejected before anything is loaded
    unoptimized, optimized, placement = diffusers_baseline.load_both(settings, checkpoint)
    baseline, device = diffusers_baseline.create_baseline(unoptimized), torch.device(placement.device)
    cascade = Cascade(optimized, limits, device=placement.device)
    with Engine(cascade, batch_size, max_images=max(plan.clients)) as engine:
        base_bytes = memory_in_use(device)
        methods: dict[str, Callable[[Sequence[workload.Arrival]], list[ClientLatency]]] = {
            "stock": partial(workload.serve_sequentially, baseline),
            "stock, one prompt": partial(workload.serve_sequentially, baseline, batch_size=batch_size),
            "ours": partial(workload.serve_with_engine, engine),
        }

        def serve(times: Sequence[float], shape: str, number: int) -> dict[str, LoadRun]:
            """One run of each method, in an order that changes with its `number`; clients arrive at `times`."""
            prompt, turns, runs = f"a picture for the crowd, number {number}", itertools.cycle(sizes[shape]), {}
            arrivals = [
                workload.Arrival(k, at_s, create_request(next(turns), f"{prompt} {k}", number))
                for k, at_s in enumerate(times)
            ]
            for k in range(len(METHODS)):
                method = METHODS[(k + number) % len(METHODS)]
                with record_device_peak(device, base_bytes) as peak:
                    latencies, _, processor_s = measure_time(device, partial(methods[method], arrivals))
                runs[method] = LoadRun(latencies, peak.bytes, processor_s)
            return runs

        def baseline_seconds(size: workload.ImageSize) -> float:
            """Seconds of the baseline for one image, after both sides have generated one."""
            request = create_request(size)
            baseline(request)
            list(engine.run(request))
            return median(measure_time(device, partial(baseline, request))[1] for _ in range(BASELINE_RUNS))

        alone = {shape: 1 / mean(map(baseline_seconds, sizes[shape])) for shape in plan.shapes}
        sizes_alone = {"rows_at_once": batch_size, "stock_alone_pictures_per_s": alone}
        facts = describe_run(device, request, checkpoint.name, placement.dtype, **sizes_alone)
        rates = ", ".join(f"{rate:.3f} ({shape} shapes)" for shape, rate in alone.items())
        lines = format_run(facts, f"one image per client, batches of up to {batch_size}")
        write_line("\n".join([*lines, f"stock alone, sequentially: {rates} images per second", _HEADER]))
        cases = []
        for case in _run_cases(plan, alone, serve):
            cases.append(case)
            write_line(_format_case(case))
    return {**facts, "crowds": cases}


def _run_cases(plan: LoadPlan, alone: Mapping[str, float], serve: Serve) -> Iterator[dict[str, Any]]:
    """Plain data of each case as soon as all methods have served it."""
    numbers = itertools.count(1)
    for shape, load, clients in itertools.product(plan.shapes, plan.loads, plan.clients):
        rounds = []
        for number in itertools.islice(numbers, plan.repeat):
            rate = alone[shape] * load / 100
            times = workload.poisson_times(clients, rate, random.Random(number)) if load else [0.0] * clients
            rounds.append(serve(times, shape, number))
        ratios = [runs["ours"].throughput / runs["stock"].throughput for runs in rounds]
        processor_ratios = [runs["stock"].processor_s / runs["ours"].processor_s for runs in rounds]
        yield {
            "people": clients,
            "load_percent": load,
            "shapes": shape,
            "ours_for_one_of_stock": median(ratios),
            "processor_ours_for_one_of_stock": median(processor_ratios),
            "ratios": ratios,
            "processor_ratios": processor_ratios,
            **{method: summarize([runs[method] for runs in rounds]) for method in METHODS},
        }


def _format_case(case: Mapping[str, Any]) -> str:
    load = case["load_percent"]
    lines = [
        f"clients: {case['people']}, {f'at {load} % of stock' if load else 'at once'}, {case['shapes']} shapes;"
        f" ours / stock {case['ours_for_one_of_stock']:.2f} wall clock,"
        f" {case['processor_ours_for_one_of_stock']:.2f} processor time"
    ]
    for method in METHODS:
        found = case[method]
        previews = [found[f"preview_{which}_s"] for which in ("median", "p95", "last")]
        lines.append(
            f"  {method:<18}{found['pictures_per_s']:>11.3f}"
            + "".join(f"{'-' if each is None else f'{each:.2f}':>9}" for each in previews)
            + f"{found['picture_median_s']:>10.2f}{found['picture_p95_s']:>9.2f}"
            + f"{found['fairness']:>8.3f}{found['peak_bytes'] / 2**20:>7.0f}{found['processor_s_per_picture']:>11.2f}"
        )
    return "\n".join(lines)
