"""The load test, from the command line to JSON. Times are not tested."""

from __future__ import annotations

import json

from wuerst_demo.benchmarks.__main__ import main


def test_a_load_test_serves_with_all_methods_and_ends_in_json(checkpoint_2023, capsys):
    options = ["load_test", "--model", str(checkpoint_2023 / "wuerstchen"), "--size", "128", "--steps", "2,1"]
    options += ["--people", "1,3", "--loads", "0,120", "--repeat", "2", "--rows", "2", "--device", "cpu"]
    assert main(options, {}) == 0
    lines = capsys.readouterr().out.splitlines()
    facts = json.loads(lines[-1])
    assert facts["request"]["prior_steps"] == 2
    assert facts["rows_at_once"] == 2
    assert set(facts["stock_alone_pictures_per_s"]) == {"same", "mixed"}
    cases = [(case["people"], case["load_percent"], case["shapes"]) for case in facts["crowds"]]
    assert sorted(cases) == sorted((n, load, shape) for shape in ("same", "mixed") for load in (0, 120) for n in (1, 3))
    for case in facts["crowds"]:
        assert len(case["ratios"]) == 2
        for method in ("stock", "stock, one prompt", "ours"):
            assert 0 < case[method]["picture_median_s"] <= case[method]["picture_p95_s"]
            assert 0 < case[method]["fairness"] <= 1 + 1e-9
            assert case[method]["pictures_per_s"] > 0
    assert sum(line.startswith("  ours") for line in lines) == len(cases)
