"""Memory limits of containers and services."""

import pytest

from wuerst_demo.devices.cgroups import apply_cgroup_limits

GIB = 2**30


def group(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")


@pytest.fixture
def root(tmp_path):
    """The kernel's files for a process in the group /service/demo."""
    group(tmp_path / "proc/self", {"cgroup": "0::/service/demo"})
    return tmp_path


def test_without_control_groups_memory_is_that_of_the_machine(tmp_path):
    assert apply_cgroup_limits(64 * GIB, 50 * GIB, tmp_path) == (64 * GIB, 50 * GIB)


def test_a_limit_bounds_total_and_free_memory_and_page_cache_counts_as_free(root):
    stat = f"anon 1\ninactive_file {GIB}"
    group(root / "sys/fs/cgroup/service/demo", {"memory.max": 8 * GIB, "memory.current": 3 * GIB, "memory.stat": stat})
    assert apply_cgroup_limits(64 * GIB, 50 * GIB, root) == (8 * GIB, 6 * GIB)
    assert apply_cgroup_limits(64 * GIB, 2 * GIB, root) == (8 * GIB, 2 * GIB)


def test_the_tightest_group_counts(root):
    group(root / "sys/fs/cgroup/service", {"memory.max": 4 * GIB, "memory.current": 0, "memory.stat": ""})
    group(root / "sys/fs/cgroup/service/demo", {"memory.max": 8 * GIB, "memory.current": 0, "memory.stat": ""})
    assert apply_cgroup_limits(64 * GIB, 50 * GIB, root) == (4 * GIB, 4 * GIB)


def test_a_group_without_a_limit_changes_nothing(root):
    group(root / "sys/fs/cgroup/service/demo", {"memory.max": "max", "memory.current": GIB})
    assert apply_cgroup_limits(64 * GIB, 50 * GIB, root) == (64 * GIB, 50 * GIB)


def test_groups_of_version_1_count_too(root):
    (root / "proc/self/cgroup").write_text("12:cpu,cpuacct:/\n4:memory:/docker/1\n")
    files = {"memory.limit_in_bytes": 8 * GIB, "memory.usage_in_bytes": 9 * GIB, "memory.stat": "total_inactive_file 0"}
    group(root / "sys/fs/cgroup/memory", files)  # a container does not see its name
    assert apply_cgroup_limits(64 * GIB, 50 * GIB, root) == (8 * GIB, 0)
