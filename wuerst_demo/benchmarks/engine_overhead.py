"""Time that the engine itself takes, apart from the networks.

First one step of 16 image states of 16 clients, each read in its own thread, on a pipeline that computes nothing: what
is left is scheduling, events and wake-ups. Then the share of previews in a request on the shipped checkpoint.
"""

import copy
import threading
import time
from collections.abc import Sequence
from statistics import median
from types import SimpleNamespace
from typing import Any

from PIL import Image

from wuerst_demo.api import Wuerstchen, load
from wuerst_demo.benchmarks.image_state import EmptyImageState
from wuerst_demo.benchmarks.measure import write_line
from wuerst_demo.engine.engine import Engine
from wuerst_demo.request import Limits

CLIENTS = 16
STEPS_PER_STAGE = 100
REPEATS = 5


def create_empty_pipeline() -> tuple[Any, list[int]]:
    """A pipeline that computes nothing, and the sizes of its batches so far."""
    sizes: list[int] = []

    def step(images: Sequence[EmptyImageState]) -> list[EmptyImageState]:
        sizes.append(len(images))
        return [image.advance() for image in images]

    pipeline = SimpleNamespace(
        begin=EmptyImageState.begin,
        step=step,
        finish=lambda images: [Image.new("RGB", (8, 8)) for _ in images],
        render_previews=lambda images: [None for _ in images],
        empty_cache=lambda: None,
        health_check=lambda: None,
    )
    return pipeline, sizes


def time_previews(pipeline: Any) -> tuple[Any, list[tuple[float, int]]]:
    """A copy of a pipeline, and the CPU seconds and the number of its previews, filled in at each of its calls."""
    timed, calls = copy.copy(pipeline), list[tuple[float, int]]()

    def render_previews(images: Sequence[object]) -> Sequence[bytes | None]:
        start = time.process_time()
        previews: Sequence[bytes | None] = pipeline.render_previews(images)
        calls.append((time.process_time() - start, len(previews)))
        return previews

    timed.render_previews = render_previews
    return timed, calls


def measure() -> dict[str, Any]:
    """Prints both figures (medians) and returns all runs as plain data."""
    steps = [measure_step_ms() for _ in range(REPEATS)]
    wall, processor = (median(each) for each in zip(*steps, strict=True))
    write_line(f"the engine, a step of {CLIENTS} image states: {wall:.2f} ms, processor {processor:.2f} ms")
    shares = measure_preview_share(load(device="cpu"))
    share, count = (median(each) for each in zip(*shares, strict=True))
    write_line(f"previews, {count:.0f} per request: {100 * share:.1f} % of the processor time")
    return {"milliseconds_a_step": steps, "share_of_previews": shares}


def measure_step_ms() -> tuple[float, float]:
    """Wall-clock and CPU milliseconds of one engine step of CLIENTS image states."""
    pipeline, batch_sizes = create_empty_pipeline()
    engine = Engine(pipeline, max_batch_size=CLIENTS, max_images=CLIENTS)
    request = Limits().request({"seed": 1, "prior_steps": STEPS_PER_STAGE, "decoder_steps": STEPS_PER_STAGE})
    tickets = [engine.submit(request, f"client {k}") for k in range(CLIENTS)]
    readers = [threading.Thread(target=list, args=(ticket,)) for ticket in tickets]
    for reader in readers:
        reader.start()
    wall, processor = time.perf_counter(), time.process_time()
    with engine:
        for reader in readers:
            reader.join()
    steps = len(batch_sizes) / 1000  # text and VQGAN, two more calls a client, are counted as part of them
    return (time.perf_counter() - wall) / steps, (time.process_time() - processor) / steps


def measure_preview_share(wuerstchen: Wuerstchen) -> list[tuple[float, int]]:
    """For each run, the CPU time of previews as a share of the request's without them, and their number.

    Both come from the same run, because two runs differ by more than previews take.
    """
    shares = []
    for run in range(REPEATS + 1):  # the first one warms up
        pipeline, calls = time_previews(wuerstchen.cascade)
        start = time.process_time()
        list(Engine(pipeline).run(wuerstchen.request(prompt=f"a fox in the snow, number {run}", seed=1)))
        total_s, previews_s = time.process_time() - start, sum(seconds for seconds, _ in calls)
        shares.append((previews_s / (total_s - previews_s), sum(count for _, count in calls)))
    return shares[1:]
