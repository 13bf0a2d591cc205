"""The list of mutants that change nothing."""

import pytest

from tools import mutants


@pytest.mark.parametrize("listed", mutants.equivalents(), ids=lambda each: each["file"])
def test_an_equivalent_mutant_is_one_of_a_line_that_is_still_there(listed):
    lines = [line.strip() for line in (mutants.ROOT / listed["file"]).read_text(encoding="utf-8").splitlines()]
    removed, added = ([line[1:] for line in listed["change"].strip().splitlines() if line[0] == sign] for sign in "-+")
    assert removed != added
    assert any(lines[k : k + len(removed)] == removed for k in range(len(lines)))
    assert listed["reason"].endswith(".")
