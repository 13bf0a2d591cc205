"""Bytes in the object store of a Ray cluster, all machines together, as counted by a process that joins it.

python -m tests.fleet.object_store HOST:PORT
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def bytes_in_store(address):
    """Counted in a process of its own: Ray connects a process to one cluster only."""
    command = [sys.executable, "-m", __spec__.name, address]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    return int(re.search(r"bytes in store: (\d+)", done.stdout)[1])  # Ray prints there, too


def main(address):
    import ray

    ray.init(address=address, logging_level="error", log_to_driver=False)
    resource = "object_store_memory"
    print(f"bytes in store: {round(ray.cluster_resources()[resource] - ray.available_resources()[resource])}")


if __name__ == "__main__":
    main(sys.argv[1])
