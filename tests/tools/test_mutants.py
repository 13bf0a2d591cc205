"""The sample of mutants, and the list of those that change nothing."""

import random

import pytest

from tools import mutants


@pytest.mark.parametrize("listed", mutants.equivalents(), ids=lambda each: each["file"])
def test_an_equivalent_mutant_is_one_of_a_line_that_is_still_there(listed):
    lines = [line.strip() for line in (mutants.ROOT / listed["file"]).read_text(encoding="utf-8").splitlines()]
    removed, added = ([line[1:] for line in listed["change"].strip().splitlines() if line[0] == sign] for sign in "-+")
    assert removed != added
    assert any(lines[k : k + len(removed)] == removed for k in range(len(lines)))
    assert listed["reason"].endswith(".")


def test_a_dotted_exception_in_a_tuple_does_not_end_the_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    module = tmp_path / "module.py"
    module.write_text("try:\n    load()\nexcept (OSError, zlib.error):\n    pass\n", encoding="utf-8")
    changes = {mutant.change for mutant in mutants.sample([module], 10, random.Random(0))}
    assert "-except (OSError, zlib.error):\n+except (CosmicRayTestingException, zlib.error):" in changes
