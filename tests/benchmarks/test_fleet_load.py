"""The load test of fleets: one row of its table, from the engine in this process."""

from __future__ import annotations

import pytest

from tests.engine.clients import make_request
from wuerst_demo.benchmarks import fleet_load
from wuerst_demo.benchmarks.simulated_device import LoadSimulated, SimulatedPipeline
from wuerst_demo.engine.engine import Engine


def test_a_row_counts_people_events_and_the_processor(capsys):
    counter = fleet_load._EventCounter()
    side = fleet_load._Side(LoadSimulated(0.0), make_request(width=128, height=128), launcher=None)
    with Engine(SimulatedPipeline(0.0), observer=counter) as engine:
        found = side._case("page", 1, 3, engine, counter, fleet_load.CrowdPlan([], [3], images_each=4, repeat=2))
    events, of_the_first = 2 * 3 * 4 * (1 + 2 + 1 + 1), 1 + 2 + 1 + 1
    assert counter.events == events + of_the_first
    assert found["page_s_per_event"] * events == pytest.approx(found["page_cores"] * found["wall_s"])
    assert capsys.readouterr().out.startswith("page, 3 people")


@pytest.mark.parametrize(
    ("devices", "clients", "waves"), [(1, 8, 1), (1, 64, 8), (8, 64, 1), (2, 64, 4), (64, 1000, 2)]
)
def test_the_best_p95_is_that_of_full_batches(devices, clients, waves):
    request = make_request(prior_steps=10, decoder_steps=12)
    assert fleet_load.best_p95_s(request, 0.05, devices, clients) == pytest.approx(waves * (22 * 0.05 + 16 * 0.0025))


def test_fleets_are_compared_with_the_engine_for_as_many_people():
    cases = [
        {"name": name, "people": people, "pictures_per_s": rate}
        for name, people, rate in [
            ("page", 1, 2.0),
            ("page", 64, 6.0),
            ("8 replicas", 1, 1.9),
            ("8 replicas", 64, 48.0),
        ]
    ]
    ratios = [line.split(": ")[1].split()[0] for line in fleet_load._format_ratios(cases)]
    assert ratios == ["0.95", "8.00"]
