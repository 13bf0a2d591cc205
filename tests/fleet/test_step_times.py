"""Step times of a fleet, on hand-computed examples."""

from __future__ import annotations

import pytest

from wuerst_demo.fleet import step_times
from wuerst_demo.fleet.step_times import complete, merge

KEY, OTHER = ("prior", 1024, 1024), ("decoder", 512, 512)


def test_a_replica_counts_on_what_others_measured_as_much_slower_as_it_is_itself():
    assert complete({KEY: {2: 1.0}}, {KEY: {2: 0.5, 16: 0.8}}) == {KEY: {2: 1.0, 16: pytest.approx(1.6)}}


def test_the_ratio_is_that_of_the_nearest_number_it_has_measured():
    own, fleet = {KEY: {1: 1.0, 8: 3.0}}, {KEY: {1: 1.0, 8: 1.0, 16: 2.0}}
    assert complete(own, fleet)[KEY][16] == pytest.approx(6.0)


def test_what_only_one_side_has_measured_is_taken_as_it_is():
    assert complete({KEY: {2: 1.0}}, {OTHER: {4: 0.5}}) == {KEY: {2: 1.0}, OTHER: {4: 0.5}}


def test_the_newest_medians_replace_older_ones_of_their_number_only():
    assert merge({KEY: {1: 1.0, 2: 2.0}, OTHER: {1: 9.0}}, {KEY: {2: 3.0}}) == {KEY: {1: 1.0, 2: 3.0}, OTHER: {1: 9.0}}


def test_the_kind_measured_longest_ago_is_forgotten(monkeypatch):
    monkeypatch.setattr(step_times, "MAX_KINDS", 2)
    known = merge({KEY: {1: 1.0}, OTHER: {1: 1.0}}, {KEY: {1: 2.0}})
    assert merge(known, {("vqgan", 1, 1): {1: 1.0}}) == {KEY: {1: 2.0}, ("vqgan", 1, 1): {1: 1.0}}
