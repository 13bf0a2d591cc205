"""Whether bfloat16 pays: the CPU's instructions, and the measurement that is kept."""

from __future__ import annotations

import json
import time

import pytest
import torch

from wuerst_demo.devices import bfloat16


@pytest.mark.parametrize(
    ("listing", "flags"),
    [
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx512f avx512_bf16\n", ("avx512_bf16",)),
        ("flags\t\t: amx_bf16 avx512_bf16 amx_tile\n", ("amx_bf16", "avx512_bf16")),
        ("Features\t: fp asimd bf16 i8mm\n", ("bf16",)),
        ("flags\t\t: fpu avx2 avx512f\n", ()),
        ("flags\t\t: not_avx512_bf16_at_all\n", ()),
        ("", ()),
    ],
)
def test_the_instructions_are_those_that_the_system_lists(tmp_path, listing, flags):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(listing)
    assert bfloat16.bfloat16_flags(cpuinfo) == flags


def test_a_system_without_a_listing_has_none(tmp_path):
    assert bfloat16.bfloat16_flags(tmp_path / "missing") == ()


@pytest.fixture
def measured(monkeypatch):
    """The CPUs for which something was measured; each time the answer is higher by 1."""
    calls = []

    def measure():
        calls.append(1)
        return 1.0 + len(calls)

    monkeypatch.setattr(bfloat16, "measure_speedup", measure)
    return calls


def test_a_measurement_is_made_once_for_each_cpu(measured, tmp_path):
    file = tmp_path / "cache" / bfloat16.CACHE_FILENAME
    assert [bfloat16.cached_speedup(cpu, file) for cpu in ("one", "one", "other", "one")] == [2.0, 2.0, 3.0, 2.0]
    assert len(measured) == 2
    assert [path.name for path in file.parent.iterdir()] == [bfloat16.CACHE_FILENAME]


def test_another_version_of_torch_is_measured_anew(measured, tmp_path, monkeypatch):
    file = tmp_path / bfloat16.CACHE_FILENAME
    bfloat16.cached_speedup("one", file)
    monkeypatch.setattr(bfloat16.metadata, "version", lambda name: "99.0")
    assert bfloat16.cached_speedup("one", file) == 3.0
    assert len(json.loads(file.read_text())) == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"one": "fast"}', '{"one": NaN}', '{"one": Infinity}', "\x00"]
)
def test_a_damaged_file_is_measured_anew(measured, tmp_path, text):
    file = tmp_path / bfloat16.CACHE_FILENAME
    file.write_text(text.replace("one", bfloat16.cache_key("one")))
    assert bfloat16.cached_speedup("one", file) == 2.0
    assert bfloat16.cached_speedup("one", file) == 2.0


def test_a_folder_that_cannot_be_written_costs_only_the_time(measured, tmp_path):
    (tmp_path / "file").write_text("")
    assert bfloat16.cached_speedup("one", tmp_path / "file" / bfloat16.CACHE_FILENAME) == 2.0


def test_the_measurement_is_a_ratio_of_positive_times():
    assert 0 < bfloat16.measure_speedup() < 1000


def test_the_measurement_leaves_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(bfloat16, "_RUNS", 1)
    before = torch.get_num_threads()
    bfloat16.measure_speedup()
    assert torch.get_num_threads() == before


def test_waiting_for_other_programs_does_not_count():
    assert bfloat16.processor_seconds(lambda: time.sleep(0.05)) < 0.05


def test_the_speedup_is_that_of_the_processor_times(monkeypatch):
    monkeypatch.setattr(bfloat16, "_RUNS", 1)
    seconds = iter((4.0, 1.0))  # float32, bfloat16
    monkeypatch.setattr(bfloat16, "processor_seconds", lambda function: next(seconds))
    assert bfloat16.measure_speedup() == 4.0
