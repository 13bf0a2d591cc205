"""The fleet as its clients see it: the interface of the engine over replicas."""

from __future__ import annotations

import pytest

from tests.engine.clients import ends, make_request, results
from tests.fakes.cascade import FakeCascade
from tests.fakes.fleet import LocalFleet, expected, pictures, pixels
from wuerst_demo.engine import ticket as ticket_module
from wuerst_demo.engine.engine import Engine
from wuerst_demo.errors import Abandoned, QueueFull, Unavailable, UserError
from wuerst_demo.events import Progress, Queued
from wuerst_demo.fleet.readiness import NO_MACHINE_REASON
from wuerst_demo.fleet.wire import Report


def details(result):
    return result.index, result.request, result.notes, result.image_embeddings, result.seconds.keys()


def test_a_fleet_gives_the_pictures_and_requests_of_one_engine():
    local, request = LocalFleet(3), make_request(images=4)
    ticket = local.submit(request, "ann")
    local.finish()
    events, end = ends(ticket)
    engine = Engine(FakeCascade())
    alone = sorted(results(engine.run(request)), key=lambda result: result.index)
    found = sorted(results(events), key=lambda result: result.index)
    assert end == "Done"
    assert pixels(each.image for each in found) == pixels(each.image for each in alone)
    assert [details(each) for each in found] == [details(each) for each in alone]


def test_images_of_one_request_are_spread_over_replicas():
    local = LocalFleet(4)
    local.submit(make_request(images=4), "ann")
    assert [len(process.jobs) for process in local.launcher.processes] == [1, 1, 1, 1]


def test_replicas_learn_neither_sessions_nor_ids():
    local = LocalFleet(1)
    ticket = local.submit(make_request(images=2), "ann's secret")
    local.submit(make_request(), "ben")
    jobs = local.launcher.processes[0].jobs
    assert [job.request.images for job in jobs] == [1, 1, 1]
    assert len({job.session for job in jobs}) == 2
    assert "ann" not in repr(jobs)
    assert ticket.id not in repr(jobs)


def test_previews_reach_the_reader_though_they_travel_once():
    local = LocalFleet(1)
    ticket = local.submit(make_request(prior_steps=4), "ann")
    local.work(3)
    newest = ticket.read_available()[0][-1]
    assert isinstance(newest, Progress)
    assert newest.preview
    assert (newest.index, newest.stage, newest.total_steps) == (0, "prior", 4)


def test_a_reader_sleeps_until_the_first_event_of_a_slow_replica(monkeypatch):
    monkeypatch.setattr(ticket_module, "REPEAT_INTERVAL_S", 0.001)
    local = LocalFleet(1)
    ticket = local.submit(make_request(), "ann")  # begun at once, so without a place in the queue
    changed, waits = ticket._state.changed, []

    def wait(timeout_s):
        waits.append(timeout_s)
        if len(waits) > 5:
            local.finish()
            return True
        return type(changed).wait(changed, timeout_s)

    monkeypatch.setattr(changed, "wait", wait)
    assert ends(ticket)[1] == "Done"
    assert min(waits) > 0


def test_latents_travel_bit_for_bit():
    local = LocalFleet(2)
    ticket = local.fleet.submit(make_request(seed=9), "ann", keep_latents=True)
    local.finish()
    (result,) = results(ticket)
    assert [array.tolist() for array in result.stages.prior] == [[[[9]]] * 16] * 2
    assert [array.shape for array in result.stages.decoder] == [(4, 1, 1)]


def test_images_beyond_the_room_of_all_replicas_wait_in_turns():
    local = LocalFleet(2, max_batch_size=1)
    local.submit(make_request(images=8), "ann")
    ben = local.submit(make_request(), "ben")
    assert ben.read_available()[0] == [Queued(2)]
    local.finish()
    sessions = [job.session for process in local.launcher.processes for job in process.jobs]
    assert len(sessions) == 9
    assert ends(ben)[1] == "Done"


def test_a_cancelled_request_ends_at_once_and_frees_its_replica():
    local = LocalFleet(1, max_batch_size=1)
    ann = local.submit(make_request(seed=20, images=2), "ann")
    ben = local.submit(make_request(images=2), "ben")
    local.work(2)
    ann.cancel()
    assert ann.over
    assert local.fleet.stage_counts.total() == 2
    local.finish()
    assert pictures(ben) == expected(make_request(images=2))
    assert {seed for step in local.launcher.processes[0].cascade.steps for seed, *_ in step} == {20, 7, 8}


def test_another_session_can_neither_cancel_nor_attach():
    local = LocalFleet(1)
    ticket = local.submit(make_request(), "ann")
    local.fleet.cancel(ticket.id, "ben")
    assert not ticket.over
    with pytest.raises(UserError, match="does not exist"):
        local.fleet.attach(ticket.id, "ben")


def test_a_request_is_attached_again_within_the_grace_time_and_ends_after_it():
    local = LocalFleet(1, grace_s=30, keep_s=60)
    ticket = local.submit(make_request(prior_steps=10), "ann")
    ticket.close()
    local.clock.advance(20)
    again = local.fleet.attach(ticket.id, "ann")
    with pytest.raises(UserError, match="open in another page"):
        local.fleet.attach(ticket.id, "ann")
    again.close()
    local.pass_time(31)
    assert local.fleet.stage_counts.total() == 0
    with pytest.raises(UserError, match="does not exist"):
        local.fleet.attach(ticket.id, "ann")


def test_an_abandoned_request_ends_with_that_reason():
    local = LocalFleet(1, grace_s=5)
    ticket = local.submit(make_request(), "ann")
    state = ticket._state
    ticket.close()
    local.pass_time(6)
    assert isinstance(state.buffer.error, Abandoned)


def test_a_session_and_the_queue_are_limited():
    local = LocalFleet(1)
    for _ in range(2):
        local.submit(make_request(images=8), "ann")
    with pytest.raises(QueueFull, match="as one user may have"):
        local.submit(make_request(), "ann")
    for k in range(48):
        local.submit(make_request(), f"guest {k}")
    with pytest.raises(QueueFull, match="The queue is full"):
        local.submit(make_request(), "ben")


def test_more_replicas_admit_more_images():
    local = LocalFleet(2)
    for k in range(65):
        local.submit(make_request(), f"guest {k}")


def test_without_a_ready_replica_requests_are_rejected_with_the_reason():
    local = LocalFleet(1, ready=False)
    with pytest.raises(QueueFull, match="are starting; try again"):
        local.submit(make_request(), "ann")
    local.launcher.processes[0].die("the checkpoint /data/x is damaged.")
    with pytest.raises(QueueFull, match="have failed") as rejected:
        local.submit(make_request(), "ann")
    assert "/data" not in str(rejected.value)
    assert local.fleet.problem() == "the checkpoint /data/x is damaged."
    local.pass_time(2)
    local.work(1)
    local.submit(make_request(), "ann")


def test_requests_that_wait_outlive_a_time_without_replicas():
    local = LocalFleet(2)
    ticket = local.submit(make_request(images=3), "ann")
    for process in local.launcher.running:
        process.die()
    assert local.fleet.problem() == "the process has ended"
    local.pass_time(3)
    local.work(1)
    local.finish()
    assert pictures(ticket) == expected(make_request(images=3))


def test_a_fleet_whose_machines_have_all_left_says_so_and_goes_on_when_one_is_back():
    local = LocalFleet(2)
    ticket = local.submit(make_request(images=3), "ann")
    local.launcher.count = 0
    for process in local.launcher.running:
        process.die()
    local.pass_time(3)
    assert not local.fleet.replicas
    with pytest.raises(QueueFull, match="No machine that generates is connected at the moment; try again"):
        local.submit(make_request(), "ben")
    assert local.fleet.problem() == NO_MACHINE_REASON
    local.launcher.count = 1
    local.pass_time(0.5)
    local.work(1)
    local.finish()
    assert pictures(ticket) == expected(make_request(images=3))


def test_a_closed_fleet_ends_and_rejects_requests():
    local = LocalFleet(1)
    ticket = local.submit(make_request(), "ann")
    local.supervisor.close()
    assert local.launcher.closed
    with pytest.raises(Unavailable, match="closing"):
        list(ticket)
    with pytest.raises(Unavailable, match="closing"):
        local.submit(make_request(), "ann")


def test_an_estimate_is_known_once_a_replica_has_measured_its_steps():
    local = LocalFleet(1)
    assert local.fleet.estimate(make_request()) is None
    local.submit(make_request(), "ann")
    local.finish()
    assert local.fleet.estimate(make_request()) is not None
    assert local.fleet.estimate(make_request(width=512)) is None


def test_a_replica_that_has_only_had_small_batches_gets_its_share():
    local = LocalFleet(2)
    small, full = local.fleet.replicas.values()
    keys = [("text", 0, 0), *((stage, 1024, 1024) for stage in ("prior", "decoder", "vqgan"))]
    measured = {key: {1: 0.1, 2: 0.1} for key in keys}
    local.fleet.receive(full, Report(step_seconds={key: {**measured[key], 8: 0.1, 16: 0.1} for key in keys}))
    local.fleet.receive(small, Report(step_seconds=measured))
    for k in range(16):
        local.submit(make_request(seed=k), f"guest {k}")
    assert [len(replica.images) for replica in (small, full)] == [8, 8]


def test_addresses_take_turns_then_their_sessions():
    local = LocalFleet(1, max_batch_size=1)
    for k, (seed, address) in enumerate([(1, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "b"), (6, "")]):
        local.tickets.append(local.fleet.submit(make_request(seed=seed), f"guest {k}", address=address))
    local.finish()
    jobs = local.launcher.processes[0].jobs
    assert [job.request.seed for job in jobs] == [1, 2, 3, 5, 6, 4]  # the first two found room at once
    addresses = [job.address for job in jobs]
    assert len({*addresses}) == 3
    assert addresses[4] == ""
    assert not {"a", "b"} & {*addresses}


def test_a_replica_is_told_whether_others_use_the_fleet():
    local = LocalFleet(1)
    for k, session in enumerate(["ann", "ann", "ben"]):
        local.submit(make_request(seed=k), session)
    assert [job.among_others for job in local.launcher.processes[0].jobs] == [False, False, True]


def test_live_pictures_give_way_to_all_others():
    local = LocalFleet(1, max_batch_size=1)
    local.submit(make_request(), "ann")
    live = local.fleet.submit(make_request(seed=1), "ben", live=True)
    local.submit(make_request(seed=2), "cid")
    assert local.fleet.stage_counts.total() == 2
    local.finish()
    while not live.over:
        local.work(1)
    assert [(job.request.seed, job.live) for job in local.launcher.processes[0].jobs] == [
        (7, False),
        (2, False),
        (1, True),
    ]
    assert len(results(live)) == 1


def test_clients_of_one_address_have_a_share_of_the_fleets_queue():
    local = LocalFleet(1)
    for k in range(32):
        local.tickets.append(local.fleet.submit(make_request(), f"guest {k}", address="192.0.2.1"))
    with pytest.raises(QueueFull, match="Your network has its share"):
        local.fleet.submit(make_request(), "guest 33", address="192.0.2.1")
    local.submit(make_request(), "ben")
