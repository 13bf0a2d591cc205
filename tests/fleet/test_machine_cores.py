"""Cores that this process may use."""

from __future__ import annotations

import os

import pytest

from wuerst_demo.fleet import machine_cores


def test_cores_that_this_process_may_not_use_do_not_count(monkeypatch, tmp_path):
    monkeypatch.setattr(machine_cores, "CPU_QUOTA_FILE", tmp_path / "none")
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5}, raising=False)
    assert machine_cores.core_count() == 2
    assert machine_cores.share_cores({"CPU": 64.0}, on_gpu=False, replicas=1, machines=1) == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert machine_cores.core_count() == 64


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 16),
        ("200000 100000", 2),
        ("250000 100000", 2),
        ("50000 100000", 1),
        ("6400000 100000", 16),
        ("", 16),
    ],
)
def test_a_quota_of_cpu_time_counts_as_cores(quota, cores, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(machine_cores, "CPU_QUOTA_FILE", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert machine_cores.core_count() == cores
