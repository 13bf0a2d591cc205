"""State of a fleet: the line of the page, health and metrics by replica."""

from __future__ import annotations

from tests.engine.clients import make_request
from tests.fakes.fleet import LocalFleet
from wuerst_demo.engine.metrics import Metrics
from wuerst_demo.fleet import status


def test_the_line_counts_replicas_machines_and_those_that_restart():
    local = LocalFleet(3, ready=False)
    assert status.status_text(local.fleet) == "0 replicas, 3 restarting"
    local.work(1)
    assert status.status_text(local.fleet) == "3 replicas on 3 machines"
    local.launcher.processes[0].die()
    assert status.status_text(local.fleet) == "2 replicas on 2 machines, 1 restarting"
    local.launcher.processes[1].die()
    assert status.status_text(local.fleet) == "1 replica, 2 restarting"
    local.launcher.count = 0
    local.supervisor.tick()
    assert status.status_text(local.fleet) == "none: waiting for a machine"


def test_health_names_each_replica_and_is_bad_only_when_none_can_generate():
    local = LocalFleet(2)
    local.submit(make_request(), "ann")
    local.launcher.processes[1].die("no GPU")
    health = status.health(local.fleet)
    assert (health["alive"], health["rows"]) == (True, 1)
    assert [(each["name"], each["state"], each["reason"]) for each in health["replicas"]] == [
        ("1", "ready", ""),
        ("2", "down", "no GPU"),
    ]
    local.launcher.processes[0].die("no GPU")
    assert (status.health(local.fleet)["alive"], status.health(local.fleet)["reason"]) == (False, "no GPU")


def test_metrics_are_those_of_the_engine_and_of_each_replica():
    metrics = Metrics()
    local = LocalFleet(2, observer=metrics)
    metrics.register(status.FleetCollector(local.fleet))
    local.submit(make_request(images=3), "ann")
    local.launcher.processes[1].die()
    local.finish()
    local.pass_time(1)
    text = metrics.render().decode()
    assert 'wuerst_replica_finished_total{replica="1"} 3.0' in text
    assert 'wuerst_replica_ready{replica="1"} 1.0' in text
    assert "wuerst_images_moved_total 1.0" in text
    assert 'wuerst_row_steps_total{stage="vqgan"} 3.0' in text
    assert 'wuerst_requests_ended_total{end="done"} 1.0' in text
