"""The benchmark runs, says what it measured, and refuses mistakes in one line. The times themselves are not tested."""

from __future__ import annotations

import json

import pytest

from wuerst_demo.bench.__main__ import main


def test_it_draws_the_same_pictures_as_stock_and_ends_in_a_line_of_json(checkpoint_2023, capsys):
    words = ["--model", str(checkpoint_2023 / "wuerstchen"), "--size", "128", "--steps", "3,2", "--repeat", "1"]
    assert main([*words, "--device", "cpu"], {}) == 0
    lines = capsys.readouterr().out.splitlines()
    facts = json.loads(lines[-1])
    assert any(line.startswith("stock / ours, pairs 1:") for line in lines)
    assert len(facts["ratios"]) == len(facts["stock"]["seconds"]) == len(facts["ours"]["outside"]) == 1
    assert facts["difference"] <= 1
    assert facts["request"]["prior_steps"] == 3
    # the steps of both networks, three texts (guidance is on in the prior only), the VQGAN
    assert facts["stock"]["passes"][0] == 3 + 2 + 3 + 1
    # ours reads no text that has no effect
    assert facts["ours"]["passes"][0] == 3 + 2 + 2 + 1


def test_a_crowd_is_served_in_all_three_ways_and_it_ends_in_a_line_of_json(checkpoint_2023, capsys):
    words = ["crowd", "--model", str(checkpoint_2023 / "wuerstchen"), "--size", "128", "--steps", "2,1"]
    words += ["--people", "1,3", "--loads", "0,120", "--repeat", "2", "--rows", "2", "--device", "cpu"]
    assert main(words, {}) == 0
    lines = capsys.readouterr().out.splitlines()
    facts = json.loads(lines[-1])
    assert facts["request"]["prior_steps"] == 2
    assert facts["rows_at_once"] == 2
    assert set(facts["stock_alone_pictures_per_s"]) == {"same", "mixed"}
    asked = [(crowd["people"], crowd["load_percent"], crowd["shapes"]) for crowd in facts["crowds"]]
    assert sorted(asked) == sorted((n, load, shape) for shape in ("same", "mixed") for load in (0, 120) for n in (1, 3))
    for crowd in facts["crowds"]:
        assert len(crowd["ratios"]) == 2
        for way in ("stock", "stock, one prompt", "ours"):
            assert 0 < crowd[way]["picture_median_s"] <= crowd[way]["picture_p95_s"]
            assert 0 < crowd[way]["fairness"] <= 1 + 1e-9
            assert crowd[way]["pictures_per_s"] > 0
    assert sum(line.startswith("  ours") for line in lines) == len(asked)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--repeat", "none"], "--repeat must be a whole number"),
        (["--steps", "29"], "--steps takes two numbers"),
        (["--size", "0"], "--size must be"),
        (["--sizes", "256"], "did you mean --size?"),
        (["cocktail"], "bench takes options only"),
        (["crowd", "8"], "bench takes options only"),
        (["crowd", "--people", "1,none"], "--people must be a whole number"),
        (["crowd", "--loads", "50%"], "--loads must be a whole number"),
        (["crowd", "--shapes", "round"], "--shapes takes same, mixed"),
        (["crowd", "--offload", "model"], "leave --offload out"),
        (["crowd", "--rows", "0"], "--rows must be a whole number"),
        (["crowd", "--size", "100"], "Width is 100"),
    ],
)
def test_a_mistake_is_answered_with_one_line(words, said, capsys):
    assert main(words, {}) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert out == ""
