"""Memory limits of Linux control groups: a container or service may have less memory than the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_CGROUP_FILES = {
    "v2": ("memory.max", "memory.current", "inactive_file"),
    "v1": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Version -> files of limit and usage, and the entry of memory.stat for page cache that the kernel can reclaim."""


def apply_cgroup_limits(total: int, free: int, root: Path = Path("/")) -> tuple[int, int]:
    """Total and free bytes of main memory within the limits of this process' control group and its parents."""
    for version, group in _memory_cgroups(root):
        limit_file, usage_file, reclaimable_entry = _CGROUP_FILES[version]
        limit, usage = _read_number(group / limit_file), _read_number(group / usage_file)
        if limit is None or usage is None or limit >= total:
            continue
        used = max(0, usage - _read_reclaimable(group / "memory.stat", reclaimable_entry))
        total, free = limit, min(free, max(0, limit - used))
    return total, free


def _memory_cgroups(root: Path) -> Iterator[tuple[str, Path]]:
    """Version and folder of this process' memory control groups, outermost first.

    /proc/self/cgroup has lines "number:controllers:path"; version 2 has no controllers.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers not in ("", "memory"):
            continue
        version, group = ("v1", root / "sys/fs/cgroup/memory") if controllers else ("v2", root / "sys/fs/cgroup")
        yield version, group
        for part in Path(path).parts[1:]:
            group = group / part
            yield version, group


def _read_number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # no such limit, or "max"
        return None


def _read_reclaimable(file: Path, name: str) -> int:
    try:
        entries = dict(line.split(" ", 1) for line in file.read_text().splitlines() if " " in line)
        return int(entries.get(name, "0"))
    except (OSError, ValueError):
        return 0
