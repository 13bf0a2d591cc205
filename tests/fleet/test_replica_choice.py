"""Choice of a replica, against a hand-computed timetable."""

from __future__ import annotations

import pytest

from tests.engine.clients import make_request
from wuerst_demo.fleet.replica_choice import ReplicaLoad, choose_replica, completion_s, images_per_s

SIZE, OTHER = (1024, 1024), (512, 512)
# A step of one image takes 1 s, of two 1.5 s; guided images are two samples.
STEPS = {
    ("text", 0, 0): {1: 0.1},
    **{("prior", *size): {2: 1.0, 4: 1.5} for size in (SIZE, OTHER)},
    **{("decoder", *size): {1: 1.0, 2: 1.5} for size in (SIZE, OTHER)},
    **{("vqgan", *size): {1: 0.4} for size in (SIZE, OTHER)},
}
FREE = {key: dict.fromkeys(range(1, 17), 1.0) for key in STEPS}
"""Steps that take the same time for any number of images."""


def load(name="1", counts=None, steps=STEPS, batch=8):
    return ReplicaLoad(name, batch, counts or {}, steps)


@pytest.mark.parametrize(
    ("counts", "seconds"),
    [
        ({}, 2 * 1 + 1 + 0.5),
        ({SIZE: 1}, 2 * 1.5 + 1.5 + 2 * 0.5),
        ({OTHER: 1}, 2 * (2 * 1 + 1) + 2 * 0.5),
        ({OTHER: 2}, (2 * 1 + 1) + (2 * 1 + 1) + 3 * 0.5),
    ],
)
def test_an_image_is_finished_after_its_steps_and_those_beside_it(counts, seconds):
    assert load(counts=counts).finish_s(make_request()) == pytest.approx(seconds)


def test_the_replica_that_finishes_first_is_chosen():
    slow = {key: {samples: 3 * seconds for samples, seconds in each.items()} for key, each in STEPS.items()}
    loads = [load("slow", steps=slow), load("busy", {SIZE: 1}), load("full", {SIZE: 16})]
    assert choose_replica(make_request(), loads).name == "busy"
    assert choose_replica(make_request(), loads[::2]).name == "slow"
    assert choose_replica(make_request(), loads[2:]) is None


def test_an_image_that_would_wait_for_a_full_batch_goes_to_a_slower_replica():
    steps = FREE | {key: {1: 0.01} for key in FREE if key[0] in ("text", "vqgan")}
    slow = {key: {samples: 1.5 * seconds for samples, seconds in each.items()} for key, each in steps.items()}
    full = load("full", {SIZE: 8}, steps)
    assert full.finish_s(make_request()) == pytest.approx(2 * (2 + 1) + 9 * 0.02)
    assert choose_replica(make_request(), [full, load("slow", steps=slow)]).name == "slow"


def test_of_equal_replicas_the_one_with_company_of_the_same_size_is_chosen():
    steps = FREE | {key: {1: 0.01} for key in FREE if key[0] in ("text", "vqgan")}
    loads = [load("empty", steps=steps), load("same", {SIZE: 3}, steps), load("other", {OTHER: 3}, steps)]
    assert choose_replica(make_request(), loads).name == "same"


def test_without_measurements_the_replica_with_the_fewest_images_is_chosen():
    loads = [load("1", {SIZE: 2}, {}), load("2", {OTHER: 1}, {}), load("3", {SIZE: 3}, {})]
    assert choose_replica(make_request(), loads).name == "2"


def test_a_replica_works_on_one_batch_of_each_size_and_two_of_all():
    assert load(counts={SIZE: 7}).works_on_another(SIZE)
    assert not load(counts={SIZE: 8}).works_on_another(SIZE)
    assert load(counts={SIZE: 8, OTHER: 7}).works_on_another(OTHER)
    assert not load(counts={SIZE: 8, (768, 768): 8}).works_on_another(OTHER)


def test_a_replica_is_given_the_next_batches_too():
    assert load(counts={SIZE: 15}).has_room(SIZE)
    assert not load(counts={SIZE: 16}).has_room(SIZE)
    assert not load(counts={SIZE: 16, (768, 768): 16}).has_room(OTHER)


def test_pictures_of_one_request_are_estimated_where_they_would_be_spread():
    request = make_request(images=2)
    assert completion_s(request, [load("1"), load("2")]) == pytest.approx(3.5)
    assert completion_s(request, [load("1")]) == pytest.approx(2 * 1.5 + 1.5 + 2 * 0.5)
    assert completion_s(request, [load("1", steps={})]) is None
    assert completion_s(request, []) is None


def test_the_rate_of_a_fleet_is_the_sum_of_its_replicas():
    one = images_per_s(make_request(), [load(batch=2)])
    assert one == pytest.approx(2 / (2 * 1.5 + 1.5 + 2 * 0.5))
    assert images_per_s(make_request(), [load(batch=2), load("2", batch=2)]) == pytest.approx(2 * one)


def test_images_beyond_the_room_follow_at_the_rate_of_the_fleet():
    loads = [load(batch=2)]
    rate = images_per_s(make_request(), loads)
    assert completion_s(make_request(images=6), loads) == pytest.approx(5.5 + 4 / rate)
