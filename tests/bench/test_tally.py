from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wuerst_demo.bench.tally import Round, Seen, jain, percentile, summary

shares = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20)


def test_fairness_is_one_where_all_are_equal_and_one_nth_where_one_has_everything():
    assert jain([3.0] * 7) == pytest.approx(1)
    assert jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(1 / 4)


@given(shares, st.floats(0.1, 10))
def test_fairness_knows_no_unit_and_stays_in_its_bounds(given_shares, scale):
    found = jain(given_shares)
    assert 1 / len(given_shares) - 1e-9 <= found <= 1 + 1e-9
    assert jain([scale * share for share in given_shares]) == pytest.approx(found)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.sampled_from([0.5, 0.95, 1.0]))
def test_a_percentile_is_one_of_the_numbers_that_enough_of_them_do_not_exceed(numbers, share):
    found = percentile(numbers, share)
    assert found in numbers
    assert sum(number <= found for number in numbers) >= share * len(numbers)
    assert sum(number < found for number in numbers) < share * len(numbers)


def line(people, each):
    """People served one after another, all there from the start."""
    return Round([Seen(k, None, each * (k + 1), each * (k + 1)) for k in range(people)], 1000 * people, each * people)


def test_a_line_of_four_has_known_numbers():
    found = summary([line(4, 2.0)])
    assert found["pictures_per_s"] == pytest.approx(4 / 8)
    assert found["picture_median_s"] == pytest.approx(5)
    assert found["picture_p95_s"] == found["picture_last_s"] == 8
    assert found["fairness"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) ** 2 / (4 * (1 + 1 / 4 + 1 / 9 + 1 / 16)))
    assert found["preview_median_s"] is found["preview_last_s"] is None
    assert found["peak_bytes"] == 4000
    assert found["processor_s_per_picture"] == 2


def test_the_last_preview_is_told_only_where_everybody_saw_one():
    both = Round([Seen(0, 0.5, 3, 3), Seen(1, 1.5, 4, 4)], 0, 0)
    assert summary([both])["preview_last_s"] == 1.5
    one = Round([Seen(0, 0.5, 3, 3), Seen(1, None, 4, 4)], 0, 0)
    assert summary([one])["preview_last_s"] is None
    assert summary([one])["preview_median_s"] == 0.5


def test_several_rounds_give_the_median_rate_and_the_most_memory():
    found = summary([line(4, 1.0), line(4, 2.0), line(4, 8.0)])
    assert found["pictures_per_s"] == pytest.approx(1 / 2)
    assert found["peak_bytes"] == 4000
