"""Tests of the Ray transport with a simulated device, on one cluster; `test_ray_actors` runs them."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.engine.clients import eventually, make_request, results
from tests.fakes.cascade import painted
from tests.fleet import ray_replicas
from wuerst_demo.events import Moved
from wuerst_demo.fleet import status
from wuerst_demo.fleet.driver_launcher import LOST_REASON
from wuerst_demo.fleet.machine_cores import core_count

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `ray` is not installed"),
]


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "3")
        fleet, supervisor = ray_replicas.start(2)
        assert supervisor.wait_ready() == ""
        yield fleet, supervisor
    supervisor.close()


@pytest.fixture
def fleet(cluster):
    """A fleet with two ready replicas."""
    fleet, _ = cluster
    eventually(lambda: [each.state for each in fleet.replicas.values()] == ["ready"] * 2, 120)
    return fleet


def check_pictures(ticket, request):
    found = sorted(results(ticket), key=lambda result: result.index)
    assert [each.index for each in found] == list(range(request.images))
    assert [each.image.tobytes() for each in found] == [painted(request.image(k)).tobytes() for k in range(len(found))]


def test_actors_generate_what_one_engine_generates(fleet):
    request = make_request(images=8, prior_steps=3)
    check_pictures(fleet.submit(request, "ann"), request)
    assert all(replica.finished for replica in fleet.replicas.values())


def test_latents_travel(fleet):
    (result,) = results(fleet.submit(make_request(seed=4), "ann", keep_latents=True))
    assert [float(array.mean()) for array in result.stages.prior] == [4.0, 4.0]


def test_cores_are_shared_by_the_replicas_threads(fleet):
    _, threads, omp = next(iter(fleet.replicas.values())).description.reason.split()
    assert int(threads) == max(1, core_count() // 2) == int(omp)


def test_a_cancelled_request_ends_and_its_replica_goes_on(fleet):
    ticket = fleet.submit(make_request(prior_steps=60), "ann")
    eventually(lambda: fleet.stage_counts["prior"])
    ticket.cancel()
    eventually(lambda: not any(replica.images for replica in fleet.replicas.values()))
    check_pictures(fleet.submit(make_request(), "ann"), make_request())


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_pictures_of_a_killed_or_frozen_replica_are_finished_by_the_other(fleet, end, caplog):
    request = make_request(images=8, prior_steps=60, decoder_steps=10)
    tickets = [fleet.submit(request, session) for session in ("ann", "ben")]  # one batch for each replica
    eventually(lambda: all(replica.steps and replica.images for replica in fleet.replicas.values()))
    victim = next(iter(fleet.replicas.values()))
    os.kill(ray_replicas.pid_of(victim), end)
    events = [list(ticket) for ticket in tickets]
    assert any(isinstance(event, Moved) for each in events for event in each)
    for each in events:
        check_pictures(iter(each), request)
    reason = "its process has ended" if end == signal.SIGKILL else "it was frozen"
    assert any(f"Replica {victim.name} has gone: {reason}" in line for line in caplog.messages)


def test_a_drained_replica_ends_after_its_pictures(cluster, fleet):
    name, replica = next(iter(fleet.replicas.items()))
    pid, moved = ray_replicas.pid_of(replica), fleet.moved
    request = make_request(images=4, prior_steps=30)
    ticket = fleet.submit(request, "ann")
    cluster[1].drain(name)
    check_pictures(ticket, request)
    eventually(lambda: not psutil.pid_exists(pid), 60)
    assert fleet.moved == moved


def test_the_status_names_replicas_that_restart(fleet):
    assert status.status_text(fleet) == "2 replicas"
    os.kill(ray_replicas.pid_of(next(iter(fleet.replicas.values()))), signal.SIGKILL)
    eventually(lambda: status.status_text(fleet) == "1 replica, 1 restarting")
    assert status.health(fleet)["alive"]


def test_a_replica_that_cannot_load_is_left_out_and_named_until_it_can(cluster, fleet, monkeypatch):
    first = next(iter(fleet.replicas.values()))
    failing = ray_replicas.Simulated(failure="The checkpoint /data/x cannot be reached.")
    with monkeypatch.context() as patch:
        patch.setattr(cluster[1]._launcher, "load", failing)
        os.kill(ray_replicas.pid_of(first), signal.SIGKILL)
        eventually(lambda: first.reason == "The checkpoint /data/x cannot be reached", 120)
        check_pictures(fleet.submit(make_request(), "ann"), make_request())
    eventually(lambda: first.state == "ready", 120)


def test_ray_starts_again_when_its_head_is_lost_and_pictures_are_finished(fleet, caplog):
    before = psutil.Process().children(recursive=True)
    request = make_request(images=4, prior_steps=100, decoder_steps=100)
    ticket = fleet.submit(request, "ann")
    eventually(lambda: fleet.stage_counts["prior"] == 4)
    next(process for process in before if process.name() == "gcs_server").kill()
    eventually(fleet.problem, 60)
    assert status.health(fleet)["reason"] == LOST_REASON
    check_pictures(ticket, request)
    eventually(lambda: {replica.state for replica in fleet.replicas.values()} == {"ready"}, 120)
    assert sum(f"has gone: {LOST_REASON}" in line for line in caplog.messages) == 2
    _, alive = psutil.wait_procs(before, 30)
    assert [process.name() for process in alive] == []


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGHUP])
def test_no_process_outlives_the_pages(end):
    command = [sys.executable, "-m", "tests.fleet.ray_replicas"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as page:
        assert page.stdout.readline() == b"ready\n"
        family = psutil.Process(page.pid).children(recursive=True)
        assert len(family) > 3
        page.send_signal(end)
        page.wait()
    _, alive = psutil.wait_procs(family, 30)
    assert [process.name() for process in alive] == []
