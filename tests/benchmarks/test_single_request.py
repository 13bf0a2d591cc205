"""The single request, from the command line to JSON. Times are not tested."""

from __future__ import annotations

import json

import pytest

from wuerst_demo.benchmarks.__main__ import main


def test_one_request_ends_in_json_and_equals_diffusers(checkpoint_2023, capsys):
    options = ["--model", str(checkpoint_2023 / "wuerstchen"), "--size", "128", "--steps", "3,2", "--repeat", "1"]
    assert main([*options, "--device", "cpu"], {}) == 0
    lines = capsys.readouterr().out.splitlines()
    facts = json.loads(lines[-1])
    assert any(line.startswith("stock in float32 / ours, pairs 1:") for line in lines)
    assert len(facts["ratios"]) == len(facts["stock"]["seconds"]) == len(facts["ours"]["outside"]) == 1
    assert facts["difference"] <= 1
    assert facts["operations"] > 0
    assert facts["matrix_peak"] > 0
    assert facts["request"]["prior_steps"] == 3
    # the steps of both networks, three texts (only the prior is guided), the VQGAN
    assert facts["stock"]["passes"][0] == 3 + 2 + 3 + 1
    # the negative prompt of an unguided decoder is not encoded
    assert facts["ours"]["passes"][0] == 3 + 2 + 2 + 1


def test_the_baseline_may_have_a_data_type_of_its_own(checkpoint_2023, capsys):
    options = ["--model", str(checkpoint_2023 / "wuerstchen"), "--size", "128", "--steps", "2,1", "--repeat", "1"]
    assert main([*options, "--device", "cpu", "--dtype", "float32", "--stock-dtype", "float16"], {}) == 0
    lines = capsys.readouterr().out.splitlines()
    facts = json.loads(lines[-1])
    assert (facts["dtype"], facts["stock_dtype"]) == ("float32", "float16")
    assert any(line.startswith("stock in float16 / ours") for line in lines)


def test_the_baseline_may_have_settings_of_its_own(checkpoint_2023, capsys):
    options = ["--model", str(checkpoint_2023 / "wuerstchen"), "--size", "128", "--steps", "2,1", "--repeat", "1"]
    stock = "prior_steps=4&decoder_steps=3&decoder_guidance=2"
    assert main([*options, "--device", "cpu", "--stock-settings", stock], {}) == 0
    lines = capsys.readouterr().out.splitlines()
    facts = json.loads(lines[-1])
    assert "stock: prior 4 steps (two-part), guidance 4; decoder 3 steps, guidance 2; ddpm" in lines
    assert facts["difference"] is None
    # the steps of both networks, two texts of each, the VQGAN
    assert facts["stock"]["passes"][0] == 4 + 3 + 4 + 1
    assert facts["ours"]["passes"][0] == 2 + 1 + 2 + 1


@pytest.mark.parametrize("text", ["prior_steps", "steps=4", "prior_steps=4,decoder_steps=3", "variation=1"])
def test_settings_that_a_request_does_not_have_are_rejected(text, capsys):
    assert main(["--stock-settings", text], {}) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
