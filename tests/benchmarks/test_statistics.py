"""Throughput, latency and fairness of known runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wuerst_demo.benchmarks.statistics import ClientLatency, LoadRun, jain_index, percentile, summarize

shares = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20)


def sequential(clients, seconds):
    """Clients that arrive at once and are served one after another."""
    latencies = [ClientLatency(k, None, seconds * (k + 1), seconds * (k + 1)) for k in range(clients)]
    return LoadRun(latencies, 1000 * clients, seconds * clients)


def test_fairness_of_equal_shares_is_one_and_of_one_share_one_nth():
    assert jain_index([3.0] * 7) == pytest.approx(1)
    assert jain_index([1.0, 0.0, 0.0, 0.0]) == pytest.approx(1 / 4)


@given(shares, st.floats(0.1, 10))
def test_fairness_is_bounded_and_independent_of_the_unit(given_shares, scale):
    index = jain_index(given_shares)
    assert 1 / len(given_shares) - 1e-9 <= index <= 1 + 1e-9
    assert jain_index([scale * share for share in given_shares]) == pytest.approx(index)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.sampled_from([0.5, 0.95, 1.0]))
def test_a_percentile_is_the_smallest_number_that_covers_the_share(numbers, share):
    found = percentile(numbers, share)
    assert found in numbers
    assert sum(number <= found for number in numbers) >= share * len(numbers)
    assert sum(number < found for number in numbers) < share * len(numbers)


def test_four_sequential_clients_have_known_statistics():
    found = summarize([sequential(4, 2.0)])
    assert found["pictures_per_s"] == pytest.approx(4 / 8)
    assert found["picture_median_s"] == pytest.approx(5)
    assert found["picture_p95_s"] == found["picture_last_s"] == 8
    assert found["fairness"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) ** 2 / (4 * (1 + 1 / 4 + 1 / 9 + 1 / 16)))
    assert found["preview_median_s"] is found["preview_last_s"] is None
    assert found["peak_bytes"] == 4000
    assert found["processor_s_per_picture"] == 2


def test_the_last_preview_is_reported_only_if_every_client_got_one():
    both = LoadRun([ClientLatency(0, 0.5, 3, 3), ClientLatency(1, 1.5, 4, 4)], 0, 0)
    assert summarize([both])["preview_last_s"] == 1.5
    one = LoadRun([ClientLatency(0, 0.5, 3, 3), ClientLatency(1, None, 4, 4)], 0, 0)
    assert summarize([one])["preview_last_s"] is None
    assert summarize([one])["preview_median_s"] == 0.5


def test_several_runs_give_the_median_throughput_and_the_peak_memory():
    found = summarize([sequential(4, 1.0), sequential(4, 2.0), sequential(4, 8.0)])
    assert found["pictures_per_s"] == pytest.approx(1 / 2)
    assert found["peak_bytes"] == 4000
