"""Supervisor: replicas that start, fail, freeze, are drained, are wanted or not, with a clock and local processes."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.engine.clients import make_request, results
from tests.fakes.cascade import painted
from tests.fakes.fleet import LocalFleet
from wuerst_demo.fleet.replica import GIVE_UP_FAILURES, MIN_SILENCE_S, UNMEASURED_SILENCE_S
from wuerst_demo.fleet.supervisor import MAX_RESTART_S, MAX_START_S
from wuerst_demo.fleet.wire import ReplicaDescription


def states(local):
    return [replica.state for replica in local.fleet.replicas.values()]


def test_replicas_are_ready_once_they_say_so():
    local = LocalFleet(2, ready=False)
    assert states(local) == ["starting", "starting"]
    assert local.fleet.problem() == "no replica has started yet"
    local.launcher.processes[0].work()
    assert states(local) == ["ready", "starting"]
    assert local.supervisor.wait_ready() == ""


def test_waiting_for_the_first_replica_ends_when_all_have_failed():
    local = LocalFleet(2, ready=False)
    local.launcher.processes[0].die("no GPU")
    local.launcher.processes[1].die("no GPU")
    assert local.supervisor.wait_ready() == "no GPU"


def test_a_replica_that_fails_again_and_again_is_tried_less_often(caplog):
    local, starts = LocalFleet(1, ready=False), []
    while len(starts) < 9:
        starts.append(local.clock.now)
        running = len(local.launcher.processes)
        local.launcher.processes[-1].die("no GPU")
        while len(local.launcher.processes) == running:
            local.pass_time(0.5)
    assert GIVE_UP_FAILURES < 9
    waits = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert waits == [1, 2, 4, 8, 16, 32, MAX_RESTART_S, MAX_RESTART_S]
    assert sum("given up: no GPU" in line for line in caplog.messages) == 1


def test_a_replica_that_was_ready_for_long_starts_again_soon():
    local = LocalFleet(1)
    for _ in range(4):
        local.pass_time(MAX_RESTART_S)
        local.launcher.running[0].die()
        assert local.fleet.replicas["1"].failures == 1
        local.pass_time(1.5)
        local.work(1)


def test_a_replica_that_hangs_on_its_first_picture_is_tried_less_often():
    local, failures = LocalFleet(1), []
    local.submit(make_request(), "ann")
    replica = local.fleet.replicas["1"]
    for _ in range(3):
        for _ in range(500):
            if replica.state == "ready":
                local.pass_time(0.5)  # heartbeats, and no step
        failures.append((replica.state, replica.failures))
        for _ in range(500):
            if replica.state == "down":
                local.pass_time(0.5)
        local.launcher.running[0].work()  # which loads
    assert failures == [("down", 1), ("down", 2), ("down", 3)]


def test_a_replica_that_has_finished_a_picture_starts_again_soon():
    local = LocalFleet(1)
    for _ in range(4):
        local.submit(make_request(), "ann")
        local.finish()
        local.launcher.running[0].die()
        assert local.fleet.replicas["1"].failures == 1
        local.pass_time(1.5)
        local.work(1)


def test_a_frozen_idle_replica_is_killed_and_started_again(caplog):
    local = LocalFleet(2)
    frozen = local.launcher.processes[0]
    frozen.frozen = True
    local.pass_time(MIN_SILENCE_S - 1)
    assert not frozen.killed
    local.pass_time(1)
    assert frozen.killed
    assert "Replica 1 has gone: it was frozen: no news in 15 s. It starts again in 1 s." in caplog.messages
    local.pass_time(2)
    local.work(1)
    assert states(local) == ["ready", "ready"]


def test_pictures_of_a_frozen_replica_are_finished_by_another():
    local = LocalFleet(2)
    ticket = local.submit(make_request(images=2, prior_steps=20), "ann")
    local.work(3)
    local.launcher.processes[0].frozen = True
    local.pass_time(MIN_SILENCE_S + 1)
    local.finish()
    assert sorted(result.index for result in results(ticket)) == [0, 1]


def test_a_replica_whose_device_hangs_is_killed_though_its_process_lives():
    local = LocalFleet(1)
    ticket = local.submit(make_request(prior_steps=20), "ann")
    local.work(5)
    hanging = local.launcher.processes[0]
    local.pass_time(UNMEASURED_SILENCE_S - 1)  # decoder and VQGAN have never run
    assert not hanging.killed
    local.pass_time(2)
    assert hanging.killed
    assert not ticket.over


def test_a_measured_device_that_hangs_is_killed_after_ten_expected_steps():
    local = LocalFleet(1)
    local.submit(make_request(), "ann")
    local.finish()
    replica = local.fleet.replicas["1"]
    replica.step_seconds = {key: {1: 4.0} for key in replica.step_seconds}
    local.submit(make_request(prior_steps=20), "ann")
    local.pass_time(39)
    assert replica.state == "ready"
    local.pass_time(2)
    assert replica.state in ("down", "starting")


def test_a_replica_that_never_gets_ready_is_started_again():
    local = LocalFleet(1, ready=False)
    local.clock.advance(MAX_START_S + 1)
    local.supervisor.tick()
    assert local.launcher.processes[0].killed
    assert "not ready in 30 minutes: see that a GPU or a core is free for it" in local.fleet.problem()
    local.pass_time(2)
    assert len(local.launcher.processes) == 2


def test_a_drained_replica_finishes_its_pictures_and_starts_again():
    local = LocalFleet(1)
    ticket = local.submit(make_request(images=2), "ann")
    local.supervisor.drain("1")
    later = local.submit_when_ready(make_request(), "ben")
    assert sorted(result.index for result in results(ticket)) == [0, 1]
    assert local.fleet.moved == 0
    assert len(local.launcher.processes) == 2
    local.finish()
    assert len(results(later)) == 1


def test_a_rolling_restart_drains_one_replica_after_another():
    local, ready = LocalFleet(3), []
    local.supervisor.restart_all()
    for _ in range(30):
        local.pass_time(0.5)
        local.work(1)
        ready.append(states(local).count("ready"))
    assert min(ready) == 2
    assert len(local.launcher.processes) == 6
    assert len(local.launcher.running) == 3


def lose(local, name, failures):
    """The replica's processes end until there are so many failures."""
    while local.fleet.replicas[name].failures < failures:
        for process in [each for each in local.launcher.running if each.name == name]:
            process.die()
        local.pass_time(0.5)


@pytest.mark.parametrize("failures", [1, GIVE_UP_FAILURES])
def test_a_rolling_restart_does_not_wait_for_a_replica_that_has_failed(failures):
    local = LocalFleet(3)
    lose(local, "3", failures)
    local.supervisor.restart_all()
    for _ in range(10):
        local.pass_time(0.5)
        for process in local.launcher.running:
            if process.name != "3":
                process.work()
    launched = [process.name for process in local.launcher.processes]
    assert (launched.count("1"), launched.count("2")) == (2, 2)
    assert states(local)[:2] == ["ready", "ready"]


def test_a_rolling_restart_goes_no_further_than_a_replica_that_does_not_start_again():
    local = LocalFleet(3)
    local.supervisor.restart_all()
    local.pass_time(1)
    lose(local, "1", GIVE_UP_FAILURES + 1)
    local.pass_time(MAX_RESTART_S)
    assert states(local)[1:] == ["ready", "ready"]
    assert [process.name for process in local.launcher.running].count("2") == 1


def test_replicas_come_and_go_as_the_launcher_wants():
    local = LocalFleet(2)
    ticket = local.submit(make_request(images=4), "ann")
    local.launcher.count = 1
    local.supervisor.tick()
    assert sorted(states(local)) == ["draining", "ready"]
    local.finish()
    local.supervisor.tick()
    assert states(local) == ["ready"]
    assert len(results(ticket)) == 4
    assert local.fleet.moved == 0
    local.launcher.count = 3
    local.supervisor.tick()
    local.work(1)
    assert states(local) == ["ready"] * 3


def test_replicas_are_not_frozen_when_it_is_the_page_that_was_held_up():
    local = LocalFleet(2)
    local.submit(make_request(prior_steps=30), "ann")
    local.work(2)
    local.clock.advance(MIN_SILENCE_S + 1)
    local.supervisor.tick()
    assert states(local) == ["ready", "ready"]


def test_a_replica_that_freezes_after_the_page_was_held_up_is_noticed_as_soon_as_usual():
    local = LocalFleet(1)
    local.clock.advance(600)
    local.launcher.processes[0].work()  # its news are read before the supervisor looks
    local.supervisor.tick()
    local.launcher.processes[0].frozen = True
    local.pass_time(MIN_SILENCE_S)
    assert states(local) == ["down"]


def test_a_replica_of_another_version_is_left_out_and_named():
    local = LocalFleet(1, ready=False)
    local.launcher.processes[0].listener.ready(ReplicaDescription("cpu", "the CPU", "here", "0.0.1"))
    assert "it has wuerst_demo 0.0.1, and this page has" in local.fleet.problem()
    assert states(local) == ["down"]


def stop_engine(local):
    process = local.launcher.processes[-1]
    process.server.engine.close()
    process.listener.report(process.server.collect())
    local.supervisor.tick()
    return process


def test_an_engine_that_stops_is_replaced(caplog):
    local = LocalFleet(1)
    ticket = local.submit(make_request(prior_steps=20), "ann")
    local.work(3)
    process = stop_engine(local)
    assert process.killed
    (line,) = (line for line in caplog.messages if "has gone" in line)
    assert line == f"Replica 1 has gone: {local.fleet.replicas['1'].reason}. It starts again in 1 s."
    local.pass_time(1)
    local.work(1)
    local.finish()
    assert len(results(ticket)) == 1


def test_a_replica_whose_engine_stops_again_and_again_is_given_up(caplog):
    local, waits = LocalFleet(1), []
    for _ in range(GIVE_UP_FAILURES):
        stop_engine(local)
        running, stopped_at = len(local.launcher.processes), local.clock.now
        while len(local.launcher.processes) == running:
            local.pass_time(0.5)
        waits.append(local.clock.now - stopped_at)
        local.work(1)
    assert waits == pytest.approx([1, 2, 4, 8, 16])
    assert sum("Replica 1 is given up" in line for line in caplog.messages) == 1


def test_an_engine_that_stops_after_a_long_time_starts_again_soon():
    local = LocalFleet(1)
    for _ in range(3):
        local.pass_time(MAX_RESTART_S)
        stop_engine(local)
        assert local.fleet.replicas["1"].failures == 1
        local.pass_time(1.5)
        local.work(1)


@pytest.mark.slow
def test_hundreds_of_requests_survive_replicas_that_die_freeze_and_drain():
    rng = random.Random(20)
    local = LocalFleet(4, max_batch_size=4)
    open_tickets, ended = [], []
    for number in range(500):
        while len(open_tickets) >= 64:
            local.work(1)
            local.supervisor.tick()
            ended += [each for each in open_tickets if each[1].over]
            open_tickets = [each for each in open_tickets if not each[1].over]
            if local.launcher.running and rng.random() < 0.05:
                victim = rng.choice(local.launcher.running)
                match rng.randrange(3):
                    case 0 if victim.described:
                        victim.die()
                    case 1:
                        victim.frozen = True
                        local.pass_time(MIN_SILENCE_S + 2)
                    case _:
                        local.supervisor.drain(victim.name)
        request = make_request(seed=100 * number, images=rng.choice([1, 1, 2]), prior_steps=4, decoder_steps=4)
        while not any(state == "ready" for state in states(local)):
            local.pass_time(0.5)
            local.work(1)
        open_tickets.append((request, local.submit(request, f"client {number % 64}")))
    local.finish(5000)
    assert local.fleet.moved > 20
    for request, ticket in [*ended, *open_tickets]:
        found = sorted(results(ticket), key=lambda result: result.index)
        assert [each.index for each in found] == list(range(request.images))
        for each in found:
            assert each.request == request.image(each.index)
            assert each.image.tobytes() == painted(each.request).tobytes()
    assert all(not replica.images for replica in local.fleet.replicas.values())
