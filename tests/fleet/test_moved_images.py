"""What happens in a fleet to images of lost replicas, and to those that not every replica may have."""

from __future__ import annotations

from itertools import chain

import pytest

from tests.engine.clients import ends, make_request, results
from tests.fakes.cascade import FakeCascade, painted
from tests.fakes.fleet import LocalFleet, expected, pictures, pixels
from wuerst_demo.engine.request_queue import LIVE_PATIENCE_S
from wuerst_demo.errors import OutOfMemory
from wuerst_demo.events import Done, Moved
from wuerst_demo.fleet.fleet import MAX_MOVES
from wuerst_demo.fleet.replica import AWAITED_START_S, GIVE_UP_FAILURES
from wuerst_demo.fleet.request import SUSPECT_ENDS
from wuerst_demo.fleet.wire import ImageBytes, Report


def test_images_of_a_lost_replica_begin_again_elsewhere_and_finished_ones_stay():
    local = LocalFleet(2, max_batch_size=4)
    request = make_request(images=8, prior_steps=6, decoder_steps=6)
    ticket = local.submit(request, "ann")
    first, other = local.launcher.processes[:2]
    while not ticket._state.buffer.has_result:
        local.work(1)
    before = {result.index for result in results(ticket.read_available()[0])}
    first.die()
    local.finish()
    events, error = ticket.read_available()
    moved = {event.index for event in events if isinstance(event, Moved)}
    assert error is None
    assert moved
    assert not moved & before
    assert before | {result.index for result in results(events)} == set(range(8))
    assert pixels(result.image for result in results(events)) == [
        painted(result.request).tobytes() for result in results(events)
    ]
    assert len(other.jobs) == 4 + len(moved)
    assert isinstance(events[-1], Done)


def test_pictures_that_a_lost_replica_had_not_begun_have_not_moved():
    local = LocalFleet(1, max_batch_size=2)
    ticket = local.submit(make_request(images=4, prior_steps=9), "ann")
    local.work(3)
    local.launcher.processes[0].die()
    assert {event.index for event in ticket.read_available()[0] if isinstance(event, Moved)} == {0, 1}
    assert local.fleet.moved == 2
    local.pass_time(2)
    local.work(1)
    local.finish()
    assert pictures(ticket) == expected(make_request(images=4, prior_steps=9))


def test_what_a_lost_replica_still_says_is_ignored():
    local = LocalFleet(2)
    ticket = local.submit(make_request(), "ann")
    first = next(process for process in local.launcher.processes if process.jobs)
    local.work(2)
    first.listener.ended("lost")
    while first.server.engine.step():
        pass
    first.listener.report(first.server.collect())
    assert results(ticket.read_available()[0]) == []
    local.finish()
    assert len(results(ticket)) == 1


def test_an_image_that_arrives_damaged_begins_again_elsewhere():
    local = LocalFleet(2)
    ticket = local.submit(make_request(), "ann")
    first = next(process for process in local.launcher.processes if process.jobs)
    damaged = ImageBytes("RGB", 64, 64, b"too short", {}, ())
    with pytest.raises(ValueError, match="not enough image data"):
        first.listener.report(Report(finished={first.jobs[0].id: damaged}))
    first.die()  # as the launcher tells of a replica whose report cannot be used
    local.finish()
    assert sum(replica.finished for replica in local.fleet.replicas.values()) == 1
    assert pictures(ticket) == expected(make_request())


def test_an_image_that_ends_replica_after_replica_ends_with_an_error():
    local = LocalFleet(1)
    ticket = local.submit(make_request(), "ann")
    for _ in range(MAX_MOVES + 1):
        local.launcher.running[-1].die()
        local.pass_time(120)
        local.work(1)
    events, end = ends(ticket)
    assert end.startswith(f"This failed on {MAX_MOVES + 1} machines")
    assert sum(isinstance(event, Moved) for event in events) == 1  # the buffer keeps the newest


@pytest.mark.parametrize("replicas", [1, 2])
def test_an_image_that_ends_replica_after_replica_does_not_take_others_with_it(replicas):
    local, deadly = LocalFleet(replicas), make_request(seed=100, images=2)
    bad = local.submit(deadly, "ann")
    good = [local.submit(make_request(seed=k, prior_steps=4), f"guest {k}") for k in range(7)]
    while not (bad.over and all(ticket.over for ticket in good)):
        local.work(1)
        for process in local.launcher.running:
            images = local.fleet.replicas[process.name].images.values()
            if process.described and any(image and image.request.seed >= 100 for image in images):
                process.die()
        local.pass_time(1)
    assert ends(bad)[1].startswith(f"This failed on {MAX_MOVES + 1} machines")
    assert [ends(ticket)[1] for ticket in good] == ["Done"] * 7


def test_other_images_of_a_session_do_not_wait_behind_one_that_keeps_apart():
    local = LocalFleet(1)
    for seed in range(2):
        local.submit(make_request(seed=seed, prior_steps=9), "ann")
    for _ in range(SUSPECT_ENDS):
        local.work(1)
        local.launcher.running[0].die()
        local.pass_time(3)
        local.work(1)
    later = local.submit(make_request(seed=9), "ann")
    assert [image.request.seed for image in local.fleet.replicas["1"].images.values()] == [0, 9]
    local.finish()
    assert pictures(later) == expected(make_request(seed=9))


def test_an_image_too_large_for_one_replica_is_tried_on_another():
    cascades = iter([FakeCascade(fault=lambda states: MemoryError()), FakeCascade()])
    local = LocalFleet(2, lambda: next(cascades))
    ticket = local.submit(make_request(), "ann")
    local.finish()
    assert pictures(ticket) == expected(make_request())
    assert [len(process.jobs) for process in local.launcher.processes] == [1, 1]


def test_an_image_may_be_too_large_for_more_replicas_than_may_end_with_it():
    cascades = chain([FakeCascade(fault=too_small) for _ in range(MAX_MOVES + 2)], iter(FakeCascade, None))
    local, request = LocalFleet(MAX_MOVES + 3, lambda: next(cascades)), make_request(width=1536)
    ticket = local.submit(request, "ann")
    local.finish()
    assert local.fleet.moved == MAX_MOVES + 2
    assert pictures(ticket) == expected(request)


def test_an_image_too_large_for_every_replica_ends_with_that_reason():
    local = LocalFleet(MAX_MOVES + 3, lambda: FakeCascade(fault=lambda states: MemoryError()))
    ticket = local.submit(make_request(), "ann")
    local.finish()
    with pytest.raises(OutOfMemory, match="choose a smaller size"):
        list(ticket)


def too_small(states):
    return MemoryError() if any(state.request.width > 1024 for state in states) else None


def small_and_large():
    """A fleet of two, of which the larger has just been lost, with one image that is too large for the other."""
    cascades = chain([FakeCascade(fault=too_small)], iter(FakeCascade, None))
    local = LocalFleet(2, lambda: next(cascades))
    local.launcher.processes[1].die()
    return local, local.submit(make_request(width=1536), "ann")


def test_an_image_too_large_for_one_replica_waits_for_another_that_restarts():
    local, ticket = small_and_large()
    local.work(2)
    assert not ticket.over
    local.pass_time(2)
    local.work(1)
    local.finish()
    assert pictures(ticket) == expected(make_request(width=1536))


def test_other_images_of_a_session_do_not_wait_behind_one_that_is_too_large():
    local, large = small_and_large()
    local.work(2)
    small = local.submit(make_request(), "ann")
    local.work(6)
    assert pictures(small) == expected(make_request())
    assert not large.over


@pytest.mark.parametrize("live", [False, True])
def test_an_image_too_large_for_what_is_left_ends_when_the_other_replica_is_given_up(live):
    local, other = small_and_large()
    other.cancel()
    ticket = local.fleet.submit(make_request(width=1536), "ben", live=live)
    local.work(9)
    assert not ticket.over
    while local.fleet.replicas["2"].failures < GIVE_UP_FAILURES:
        local.pass_time(0.5)
        for process in local.launcher.running[1:]:
            process.die()
    local.pass_time(0.5)
    with pytest.raises(OutOfMemory, match="choose a smaller size"):
        list(ticket)
    assert not local.fleet.stage_counts


def test_an_image_too_large_for_what_is_left_ends_when_the_other_replica_does_not_get_ready():
    local, ticket = small_and_large()
    local.work(2)
    local.pass_time(1)  # the other one starts, but no machine has room for it
    local.pass_time(AWAITED_START_S - 1)
    assert not ticket.over
    local.pass_time(2)
    assert ticket.over
    with pytest.raises(OutOfMemory, match="choose a smaller size"):
        list(ticket)


def test_an_image_that_waits_for_a_larger_replica_can_be_abandoned():
    local, ticket = small_and_large()
    local.work(2)
    ticket.close()
    local.launcher.count = 1
    local.supervisor.tick()
    assert not local.fleet.stage_counts
    assert len(local.fleet._waiting) == 0


def test_an_image_too_large_for_what_is_left_ends_when_the_other_replica_leaves():
    cascades = iter([FakeCascade(fault=too_small), FakeCascade()])
    local = LocalFleet(2, lambda: next(cascades))
    ticket = local.submit(make_request(width=1536, prior_steps=20), "ann")
    local.work(3)
    assert len(local.fleet.replicas["2"].images) == 1
    local.launcher.count = 1
    local.supervisor.tick()
    assert not ticket.over
    local.launcher.processes[1].die()
    local.supervisor.tick()
    assert [*local.fleet.replicas] == ["1"]
    with pytest.raises(OutOfMemory, match="choose a smaller size"):
        list(ticket)


@pytest.mark.parametrize("busy", [False, True])
def test_an_image_too_large_for_one_replica_waits_while_all_machines_are_gone(busy):
    local, ticket = small_and_large()
    local.work(3)
    if busy:  # so that the small one is there until it has finished this
        local.submit(make_request(prior_steps=50), "ben")
    local.launcher.count = 0
    local.pass_time(3)
    assert len(local.fleet.replicas) == busy
    assert not ticket.over
    local.launcher.count = 1
    local.supervisor.tick()
    local.finish()
    assert pictures(ticket) == expected(make_request(width=1536))


def test_live_pictures_go_on_beside_an_image_that_a_lost_replica_had_not_begun():
    cascades = iter([FakeCascade(fault=too_small), FakeCascade(), FakeCascade()])
    local = LocalFleet(2, lambda: next(cascades), max_batch_size=1)
    local.submit(make_request(width=1536, images=2, prior_steps=50), "ann")
    local.work(3)
    assert [len(replica.images) for replica in local.fleet.replicas.values()] == [0, 2]
    local.launcher.processes[1].die()
    local.work(3)
    live = local.fleet.submit(make_request(seed=1), "ben", live=True)
    local.clock.advance(LIVE_PATIENCE_S + 0.5)
    local.supervisor.tick()
    assert not live.over


@pytest.mark.parametrize("others", [False, True])
def test_live_pictures_give_way_to_others_but_not_to_an_image_that_waits_apart(others):
    local, _ = small_and_large()
    local.work(2)
    if others:
        local.submit(make_request(), "ben")
    live = local.fleet.submit(make_request(seed=1), "cid", live=True)
    local.clock.advance(LIVE_PATIENCE_S + 0.5)
    local.supervisor.tick()
    assert live.over == others


def test_a_bad_image_ends_its_request_after_the_others_without_moving():
    local = LocalFleet(2, lambda: FakeCascade(failing_pictures=[8]))
    ticket = local.submit(make_request(images=3), "ann")
    local.finish()
    events, end = ends(ticket)
    assert [result.index for result in results(events)] == [0, 2]
    assert end == "This picture has failed; try another seed."
    assert local.fleet.moved == 0
