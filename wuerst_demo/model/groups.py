"""What Linux's control groups leave of the main memory: containers and services may have less than the machine.

Does not know devices.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_FILES = {
    "v2": ("memory.max", "memory.current", "inactive_file"),
    "v1": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Version -> the files of the limit and of what is used, and what of that the kernel gives back when it is wanted."""


def bounds(total: int, free: int, root: Path = Path("/")) -> tuple[int, int]:
    """`total` and `free` bytes of main memory, as far as this process' groups and those above them let it have them."""
    for version, group in _groups(root):
        limit, used, returned = _FILES[version]
        most, taken = _number(group / limit), _number(group / used)
        if most is None or taken is None or most >= total:
            continue
        kept = max(0, taken - _returned(group / "memory.stat", returned))
        total, free = most, min(free, max(0, most - kept))
    return total, free


def _groups(root: Path) -> Iterator[tuple[str, Path]]:
    """This process' groups that count memory, outermost first: a line each, "number:what is counted:path"."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, counted, path = [*line.split(":", 2), "", ""][:3]
        if counted not in ("", "memory"):
            continue
        version, group = ("v1", root / "sys/fs/cgroup/memory") if counted else ("v2", root / "sys/fs/cgroup")
        yield version, group
        for part in Path(path).parts[1:]:
            group = group / part
            yield version, group


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # there is no such limit, or it says "max"
        return None


def _returned(file: Path, name: str) -> int:
    try:
        said = dict(line.split(" ", 1) for line in file.read_text().splitlines() if " " in line)
        return int(said.get(name, "0"))
    except (OSError, ValueError):
        return 0
