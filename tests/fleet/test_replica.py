"""What the page knows of a replica: which of its images it has begun when it is lost."""

from __future__ import annotations

from types import SimpleNamespace

from tests.engine.clients import make_request
from wuerst_demo.fleet.replica import Replica


def image(name, live=False):
    return SimpleNamespace(name=name, live=live, request=make_request())


def test_a_lost_replica_has_begun_one_batch_and_every_live_picture():
    replica = Replica("1", max_batch_size=2)
    given = [image("first"), image("live", live=True), None, image("third"), image("live too", live=True)]
    for number, each in enumerate(given):
        replica.images[number] = each
        replica.sizes[number] = (128, 128)
    taken = [(each.name, begun) for each, begun in replica.take_all()]
    # The abandoned one, of which nothing is left to move, had a place in the batch.
    assert taken == [("first", True), ("live", True), ("third", False), ("live too", True)]
    assert not replica.images
    assert not replica.sizes
