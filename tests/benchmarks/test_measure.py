"""Measuring on known work."""

from __future__ import annotations

import torch

from wuerst_demo.benchmarks.measure import measure_time, record_peak

CPU = torch.device("cpu")


def test_time_is_measured_around_the_work_and_its_result_returned():
    result, wall_s, cpu_s = measure_time(CPU, lambda: sum(range(1000)))
    assert result == 499_500
    assert wall_s > 0
    assert cpu_s >= 0


def test_a_peak_is_the_largest_sample_above_the_base():
    sizes = iter((150, 120))
    with record_peak(lambda: next(sizes), base=100, interval_s=60) as peak:
        pass
    assert peak.bytes == 50


def test_samples_are_taken_at_the_beginning_and_at_the_end():
    sizes = iter((3, 7))
    with record_peak(lambda: next(sizes), base=1, interval_s=60) as peak:
        assert peak.bytes == 2
    assert peak.bytes == 6
    assert next(sizes, None) is None
