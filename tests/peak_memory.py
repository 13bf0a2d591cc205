"""How much memory loading takes: `python -m tests.peak_memory [--published] [--dtype float16]`.

Writes a checkpoint of a few hundred MB (or, with --published, of the real networks' sizes) into a temporary folder,
loads it in a process of its own, and watches that process's RssAnon (its memory, but for the pages of mapped files)
from outside, every millisecond. The weights are holes in sparse files: zeros that take no room on the disk, but are
read and converted like any others. Linux only.
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

from wuerst_demo.bench.memory import anonymous
from wuerst_demo.bench.published import PUBLISHED, SMALL, write


@dataclass(frozen=True)
class Measured:
    """In bytes: the weights in their final type, RssAnon before loading, its peak, and what stayed."""

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
from wuerst_demo.model.checkpoint import load_parts
from wuerst_demo.model.files import locate
from wuerst_demo.model.placement import decide
torch.set_num_threads(1)
located, placement = locate(sys.argv[1]), decide("cpu", sys.argv[2])
print(placement.bytes_for(located.parameters), flush=True)
sys.stdin.readline()
parts = load_parts(located, placement)
print("loaded", flush=True)
sys.stdin.readline()
"""


def measure(folder: Path, dtype: str) -> Measured:
    """Loads `folder / "wuerstchen"` on the CPU in another process and watches it."""
    command = [sys.executable, "-c", LOADER, str(folder / "wuerstchen"), dtype]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        weights = int(process.stdout.readline())
        before = peak = anonymous(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        while not select.select([process.stdout], [], [], 0)[0]:
            peak = max(peak, anonymous(process.pid))
            time.sleep(0.001)
        loaded = os.read(process.stdout.fileno(), 100)
        assert loaded == b"loaded\n", "it could not be loaded"
        # On a busy machine the end of loading may come between two looks; what stayed was there then, too.
        after = anonymous(process.pid)
        peak = max(peak, after)
        process.stdin.write("\n")
    return Measured(weights, before, peak, after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float16")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), PUBLISHED if given.published else SMALL, "zeros")
        began = time.perf_counter()
        found = measure(Path(folder), given.dtype)
    print(
        f"weights {found.weights / 1e6:,.0f} MB in {given.dtype}; before {found.before / 1e6:,.0f}, "
        f"peak {found.peak / 1e6:,.0f}, after {found.after / 1e6:,.0f} MB anonymous; loading took "
        f"{found.taken / found.weights:.3f} times the weights, {time.perf_counter() - began:.1f} s"
    )


if __name__ == "__main__":
    main()
