"""The command line of the benchmarks: mistakes and help."""

from __future__ import annotations

import pytest

from wuerst_demo.benchmarks.__main__ import BENCHMARKS, main
from wuerst_demo.engine.interface import DEFAULT_MAX_BATCH_SIZE


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--repeat", "none"], "--repeat must be a whole number"),
        (["--steps", "29"], "--steps takes two numbers"),
        (["--size", "0"], "--size must be"),
        (["--stock-dtype", "int8"], "--stock-dtype: invalid choice"),
        (["--settings", "sampler"], "--settings takes settings of a request"),
        (["load_test", "--settings", "depth=3"], "--settings takes settings of a request"),
        (["--sizes", "256"], "did you mean --size?"),
        (["cocktail"], "bench needs one of these names first"),
        (["single_request", "8"], "Unexpected argument; options start with --"),
        (["load_test", "8"], "Unexpected argument; options start with --"),
        (["load_test", "--people", "1,none"], "--people must be a whole number"),
        (["load_test", "--loads", "50%"], "--loads must be a whole number"),
        (["load_test", "--shapes", "round"], "--shapes takes same, mixed"),
        (["load_test", "--offload", "model"], "leave --offload out"),
        (["load_test", "--rows", "0"], "--rows must be a whole number"),
        (["load_test", "--size", "100"], "Width is 100"),
        (["full_size", "--parts", "vqgan"], "--parts takes prior, decoder"),
        (["full_size", "--steps", "4"], "--steps takes two numbers"),
        (["full_size", "--size", "1000"], "Width"),
        (["full_size", "prior"], "Unexpected argument; options start with --"),
        (["full_size", "--device", "tpu"], "--device must be"),
        (["engine_overhead", "--size", "256"], "There is no option --size"),
        (["web_latency", "--port", "http"], "before its page was there"),
    ],
)
def test_a_mistake_is_one_line(words, message, capsys):
    assert main(words, {}) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.count("\n") == 1
    assert out == ""


def test_the_load_tests_batches_are_as_large_as_the_engines():
    assert BENCHMARKS["load_test"]["options"]["rows"]["default"] == str(DEFAULT_MAX_BATCH_SIZE)


def test_help_of_the_web_ui_starts_none(capsys, monkeypatch):
    monkeypatch.setattr("wuerst_demo.benchmarks.web_latency.measure", lambda *_: pytest.fail("started"))
    assert main(["web_latency", "--help"], {}) == 0
    assert "--browser" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["single_request", "load_test"])
def test_settings_of_the_request_are_passed_on_and_the_options_own_ones_too(name, monkeypatch):
    found = []
    monkeypatch.setattr(
        f"wuerst_demo.benchmarks.{name}.measure", lambda settings, values, *_: found.append(values) or {}
    )
    assert main([name, "--steps", "5,4", "--settings", "sampler=ddpm&prior_guidance=2"], {}) == 0
    assert found == [{"prior_steps": 5, "decoder_steps": 4, "sampler": "ddpm", "prior_guidance": 2.0}]


def test_help_lists_benchmarks_and_options(capsys):
    assert main(["load_test", "--help"], {}) == 0
    out = capsys.readouterr().out
    for word in ("single_request", "full_size", "--people", "--loads", "--model", "--device"):
        assert word in out
