"""Main memory as containers and services have it."""

import pytest

from wuerst_demo.model.groups import bounds

GIB = 2**30


def group(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, said in files.items():
        (folder / name).write_text(f"{said}\n")


@pytest.fixture
def root(tmp_path):
    """Files as the kernel has them, for a process in the group /service/demo."""
    group(tmp_path / "proc/self", {"cgroup": "0::/service/demo"})
    return tmp_path


def test_without_control_groups_memory_is_the_machines(tmp_path):
    assert bounds(64 * GIB, 50 * GIB, tmp_path) == (64 * GIB, 50 * GIB)


def test_a_limit_bounds_what_there_is_and_what_is_free_and_files_in_memory_count_as_free(root):
    stat = f"anon 1\ninactive_file {GIB}"
    group(root / "sys/fs/cgroup/service/demo", {"memory.max": 8 * GIB, "memory.current": 3 * GIB, "memory.stat": stat})
    assert bounds(64 * GIB, 50 * GIB, root) == (8 * GIB, 6 * GIB)
    assert bounds(64 * GIB, 2 * GIB, root) == (8 * GIB, 2 * GIB)


def test_the_tightest_of_all_groups_counts(root):
    group(root / "sys/fs/cgroup/service", {"memory.max": 4 * GIB, "memory.current": 0, "memory.stat": ""})
    group(root / "sys/fs/cgroup/service/demo", {"memory.max": 8 * GIB, "memory.current": 0, "memory.stat": ""})
    assert bounds(64 * GIB, 50 * GIB, root) == (4 * GIB, 4 * GIB)


def test_no_limit_is_none(root):
    group(root / "sys/fs/cgroup/service/demo", {"memory.max": "max", "memory.current": GIB})
    assert bounds(64 * GIB, 50 * GIB, root) == (64 * GIB, 50 * GIB)


def test_the_older_kind_of_groups_counts_too(root):
    (root / "proc/self/cgroup").write_text("12:cpu,cpuacct:/\n4:memory:/docker/1\n")
    files = {"memory.limit_in_bytes": 8 * GIB, "memory.usage_in_bytes": 9 * GIB, "memory.stat": "total_inactive_file 0"}
    group(root / "sys/fs/cgroup/memory", files)  # a container does not see its name
    assert bounds(64 * GIB, 50 * GIB, root) == (8 * GIB, 0)
