"""How much memory loading takes: `python -m tests.peak_memory [--published] [--dtype float16]`.

Writes a checkpoint of a few hundred MB (with --published: of the published size) into a temporary folder, loads it in
another process, and samples that process's RssAnon (memory without mapped files) every millisecond. The weights are
sparse files of zeros, which take no disk space but are read and converted like any others. Linux only.
"""

from __future__ import annotations

import argparse
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from wuerst_demo.benchmarks.measure import anonymous_memory
from wuerst_demo.benchmarks.random_checkpoint import PUBLISHED_CONFIGS, SMALL_CONFIGS, write_checkpoint


@dataclass(frozen=True)
class MemoryProfile:
    """Bytes: the weights in their final dtype, and RssAnon before loading, at its peak, and afterwards."""

    weights: int
    before: int
    peak: int
    after: int

    @property
    def taken(self) -> int:
        return self.peak - self.before


LOADER = """
import sys
import torch
from wuerst_demo.networks.loader import load_components
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.devices.placement import decide_placement
from wuerst_demo.placement_options import PlacementOptions
torch.set_num_threads(1)
resolved, placement = resolve_checkpoint(sys.argv[1]), decide_placement(PlacementOptions("cpu", sys.argv[2]))
print(placement.bytes_for(resolved.parameters), flush=True)
sys.stdin.readline()
components = load_components(resolved, placement)
print("loaded", flush=True)
sys.stdin.readline()
"""


def measure(folder: Path, dtype: str) -> MemoryProfile:
    """Loads `folder / "wuerstchen"` on the CPU in another process and samples its memory."""
    command = [sys.executable, "-c", LOADER, str(folder / "wuerstchen"), dtype]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        weights = int(process.stdout.readline())
        before = peak = anonymous_memory(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        while not select.select([process.stdout], [], [], 0)[0]:
            peak = max(peak, anonymous_memory(process.pid))
            time.sleep(0.001)
        loaded = os.read(process.stdout.fileno(), 100)
        assert loaded == b"loaded\n", "it could not be loaded"
        # On a busy machine the end of loading may come between two looks; what stayed was there then, too.
        after = anonymous_memory(process.pid)
        peak = max(peak, after)
        process.stdin.write("\n")
    return MemoryProfile(weights, before, peak, after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float16")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder), PUBLISHED_CONFIGS if given.published else SMALL_CONFIGS, "zeros")
        began = time.perf_counter()
        found = measure(Path(folder), given.dtype)
    print(
        f"weights {found.weights / 1e6:,.0f} MB in {given.dtype}; before {found.before / 1e6:,.0f}, "
        f"peak {found.peak / 1e6:,.0f}, after {found.after / 1e6:,.0f} MB anonymous; loading took "
        f"{found.taken / found.weights:.3f} times the weights, {time.perf_counter() - began:.1f} s"
    )


if __name__ == "__main__":
    main()
