"""A short fuzz run with a fixed seed, and the fuzzer itself."""

import random
import time
from contextlib import nullcontext

import pytest

from tools import fuzz
from tools.fuzz import Outcome, change, describe, make_input, try_input
from tools.fuzz_target import FILE_BOUND_S, Target
from tools.fuzz_targets import list_targets
from wuerst_demo.errors import CheckpointError, MetadataError
from wuerst_demo.web.middleware import call_check

INPUTS = 2000


def test_nothing_but_the_programs_own_errors_comes_out_of_hostile_inputs(capsys):
    failures = fuzz.run(seed=20261129, count=INPUTS)
    assert failures == 0, capsys.readouterr().out


def test_an_input_is_repeated_by_seed_target_and_number():
    target = Target([b'{"a": [1, 2.5]}'], len, ("word",))
    first = [make_input("name", target, 7, number) for number in range(50)]
    assert first == [make_input("name", target, 7, number) for number in range(50)]
    assert first != [make_input("name", target, 8, number) for number in range(50)]
    assert len(set(first)) > 40


def test_changes_insert_words_and_nest_and_delete():
    draw = random.Random(1)
    inputs = [change(b'{"a": [1, 2.5]}', ("word",), draw) for _ in range(300)]
    assert any(b"word" in each for each in inputs)
    assert any(b"[" * 1000 in each for each in inputs)
    assert any(len(each) < 12 for each in inputs)


def test_only_the_programs_own_errors_of_one_line_pass():
    def raising(error):
        def read(data):
            raise error

        return Target([b""], read)

    assert try_input(raising(CheckpointError("One line.")), b"").failure is None
    assert isinstance(try_input(raising(CheckpointError("Two\nlines.")), b"").failure, AssertionError)
    assert isinstance(try_input(raising(ValueError("x")), b"").failure, ValueError)


def test_the_time_of_the_slowest_input_is_reported_by_target(monkeypatch, capsys):
    ticks = iter([0, 0.001, 1, 1.015, 2, 2.002])
    monkeypatch.setattr(time, "thread_time", lambda: next(ticks))
    monkeypatch.setattr(fuzz, "list_targets", lambda folder: {"text": Target([b"a"], len)})
    assert fuzz.run(seed=1, count=3) == 0
    assert "text: 0 failures of 0 kinds; input 1 took 15.0 of 20 ms" in capsys.readouterr().out


def test_an_input_is_slow_only_if_it_is_slow_three_times(monkeypatch):
    clock, calls = iter([0, 1, 1, 2, 2, 2.001]), []
    monkeypatch.setattr(time, "thread_time", lambda: next(clock))
    assert try_input(Target([b""], calls.append), b"x") == Outcome(None, pytest.approx(0.001))
    assert calls == [b"x"] * 3
    clock = iter([0, 1, 1, 2, 2, 3])
    assert isinstance(try_input(Target([b""], calls.append), b"x").failure, TimeoutError)


def test_failures_are_one_kind_where_only_numbers_differ():
    assert describe(ValueError("at 5")) == describe(ValueError("at 17")) != describe(KeyError("at 5"))


def test_one_input_is_shown_with_its_outcome(capsys):
    assert fuzz.main(["--seed", "7", "--only", "card", "--input", "3"]) == 0
    assert capsys.readouterr().out.endswith("passes\n")
    with pytest.raises(KeyError):
        fuzz.main(["--only", "nothing", "--input", "1"])


def test_every_format_that_comes_from_outside_is_a_target(tmp_path):
    texts = ["request", "body", "value", "link", "draft", "prompt", "axis", "options", "source", "texts"]
    files = ["png", "jpeg", "webp", "exif", "safetensors", "lora", "peft", "card", "checkpoint"]
    assert list_targets(tmp_path).keys() == {*texts, *files}


def test_the_examples_of_files_are_valid(tmp_path):
    for name, target in list_targets(tmp_path).items():
        assert target.examples
        if target.bound_s == FILE_BOUND_S or name == "texts":
            for example in target.examples:
                with nullcontext() if b"{}" not in example else pytest.raises(MetadataError):
                    target.read(example)


def test_bodies_of_calls_are_checked_as_the_server_does(tmp_path, monkeypatch):
    target = list_targets(tmp_path)["body"]
    monkeypatch.setattr(call_check, "_checked_call", lambda *_: 1 / 0)
    assert isinstance(try_input(target, target.examples[0]).failure, AssertionError)
