"""Whether bfloat16 pays on this CPU: its instructions, and a measurement that is made once per machine.

CPUs without bfloat16 instructions may compute it hundreds of times slower than float32, so nothing is measured there.
With them the gain depends on the kind of unit and the version of torch.

Measured in processor time of one thread: what is kept must not depend on what else the machine does meanwhile.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path

from wuerst_demo.paths import user_cache_folder

MIN_SPEEDUP = 1.15
"""bfloat16 is chosen where the measured forward pass is at least so many times as fast as in float32."""
CACHE_FILENAME = "bfloat16-speedup.json"
_CPU_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")
"""Instructions for products of bfloat16 matrices as Linux lists them: Intel's tiles, AVX-512, and Arm's."""
_CHANNELS, _POSITIONS, _SAMPLES = 256, 512, 2
_RUNS = 8
_MAX_S = 0.5
"""No further run is begun after so many seconds."""


def bfloat16_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """The CPU's instructions for bfloat16 products; none where the system does not list them."""
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    listed = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return tuple(flag for flag in _CPU_FLAGS if flag in listed)


def measure_speedup() -> float:
    """How many times as fast as float32 a forward pass like a decoder block's is in bfloat16. Takes below a second."""
    import torch

    with torch.inference_mode():
        generator = torch.Generator().manual_seed(0)
        wide = 4 * _CHANNELS
        weights = [torch.randn(shape, generator=generator) for shape in ((wide, _CHANNELS), (_CHANNELS, wide))]
        x = torch.randn(_SAMPLES, _POSITIONS, _CHANNELS, generator=generator)

        def forward(inputs: list[torch.Tensor]) -> torch.Tensor:
            latents, up, down = inputs
            hidden = torch.nn.functional.layer_norm(latents, (_CHANNELS,))
            hidden = torch.nn.functional.gelu(torch.nn.functional.linear(hidden, up))
            hidden = latents + torch.nn.functional.linear(hidden, down)
            heads = hidden.view(_SAMPLES, _POSITIONS, 4, -1).transpose(1, 2)
            return torch.nn.functional.scaled_dot_product_attention(heads, heads, heads)

        inputs = {dtype: [each.to(dtype) for each in (x, *weights)] for dtype in (torch.float32, torch.bfloat16)}
        seconds: dict[torch.dtype, list[float]] = {dtype: [] for dtype in inputs}
        threads, start = torch.get_num_threads(), time.perf_counter()
        torch.set_num_threads(1)
        try:
            for _ in range(_RUNS):
                for dtype, given in inputs.items():
                    seconds[dtype].append(processor_seconds(partial(forward, given)))
                if time.perf_counter() - start > _MAX_S:
                    break
        finally:
            torch.set_num_threads(threads)
        return min(seconds[torch.float32]) / min(seconds[torch.bfloat16])


def processor_seconds(function: Callable[[], object]) -> float:
    """The time that the calling thread worked in `function`, without its waits."""
    start = time.thread_time()
    function()
    return time.thread_time() - start


def cache_key(cpu: str) -> str:
    """What a measurement holds for: the CPU with its instructions, and the version of torch."""
    return f"{cpu} ({' '.join(bfloat16_flags())}), torch {metadata.version('torch')}"


def cached_speedup(cpu: str, file: Path | None = None) -> float:
    """`measure_speedup` for a CPU of that name: from the user's cache folder, or measured now and kept there."""
    file, key = file or user_cache_folder(os.environ) / CACHE_FILENAME, cache_key(cpu)
    known: dict[str, float] = {}
    with suppress(OSError, ValueError, AttributeError):  # no file, or a damaged one
        known = {
            name: speedup
            for name, speedup in json.loads(file.read_text(encoding="utf-8")).items()
            if isinstance(speedup, float) and math.isfinite(speedup)
        }
    if key not in known:
        known[key] = round(measure_speedup(), 3)
        partial = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
        with suppress(OSError):  # a read-only home: measured again next time
            file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
            partial.replace(file)
    return known[key]
