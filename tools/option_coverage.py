"""How the tests cover every pair of option values, for the matrix in docs/."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, product
from types import MappingProxyType
from typing import Literal

from wuerst_demo.compatibility import CONFLICTS, OPTION_VALUES, OptionValue

TestCoverage = Literal["computed", "simulated", "configured", "conflict"]


COVERAGE_NOTES: Mapping[TestCoverage, str] = MappingProxyType(
    {
        "computed": "The tests generate with both on a CPU and compare with the picture generated without.",
        "simulated": "The same, with a simulated GPU that has memory of its own.",
        "configured": "The tests check that both are set, but compute nothing: that takes the hardware.",
        "conflict": "Rejected with one line.",
    }
)


def option_pairs() -> list[tuple[OptionValue, OptionValue]]:
    """All pairs of values of two different options, in the order of OPTION_VALUES."""
    return [
        ((one, value), (other, another))
        for one, other in combinations(OPTION_VALUES, 2)
        for value, another in product(OPTION_VALUES[one], OPTION_VALUES[other])
    ]


def coverage_of(one: OptionValue, other: OptionValue) -> TestCoverage:
    """How a pair of option values is tested, or that it is a conflict."""
    if frozenset({one, other}) in CONFLICTS:
        return "conflict"
    both = {one, other}
    if both & {("device", "mps"), ("attention", "xformers")}:
        return "configured"
    if both & {("offload", "model"), ("offload", "sequential")}:
        return "simulated"
    return "configured" if ("device", "cuda") in both else "computed"
