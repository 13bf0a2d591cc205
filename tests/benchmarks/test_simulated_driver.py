"""Simulated replicas in one process, behind the launcher of Ray's driver."""

from __future__ import annotations

from wuerst_demo.benchmarks import simulated_driver, workload
from wuerst_demo.benchmarks.fleet_load import CrowdPlan, _simulated_side
from wuerst_demo.benchmarks.simulated_device import LoadSimulated, preview_age_s
from wuerst_demo.fleet.driver_launcher import DriverLauncher
from wuerst_demo.fleet.fleet import Fleet
from wuerst_demo.fleet.ray_cluster import FleetOptions
from wuerst_demo.fleet.supervisor import Supervisor
from wuerst_demo.request import Limits


def test_replicas_in_one_process_serve_a_crowd_and_say_how_old_their_previews_are():
    request = Limits().request({"prompt": "a picture", "seed": 0, "width": 256, "height": 256, "prior_steps": 2})
    launcher = DriverLauncher(FleetOptions(2), module=simulated_driver.DRIVER_MODULE)
    launcher.load = LoadSimulated(0.0)
    supervisor = Supervisor(fleet := Fleet(), launcher)
    supervisor.start()
    try:
        assert supervisor.wait_ready() == ""
        arrivals = [workload.Arrival(k, 0.0, request.image(k)) for k in range(12)]
        latencies = workload.serve_with_engine(fleet, arrivals, preview_age_s)
    finally:
        supervisor.close()
    assert sorted(each.client for each in latencies) == list(range(12))
    assert all(each.oldest_s is None or 0 < each.oldest_s <= each.image_s for each in latencies)
    assert any(each.oldest_s for each in latencies)


def test_the_table_of_the_page_has_a_row_for_each_fleet(capsys):
    launcher = DriverLauncher(FleetOptions(2), module=simulated_driver.DRIVER_MODULE)
    try:
        (case,) = _simulated_side(launcher, 0.001).measure_fleets(CrowdPlan([2], [3], images_each=1, repeat=1))
    finally:
        launcher.close()
    assert (case["name"], case["people"]) == ("2 replicas", 3)
    assert case["oldest_event_s"] > 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 replicas, 3 people")
