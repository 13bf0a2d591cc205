"""The vocabulary: enough things, and no name twice."""

from wuerst_demo.training.data.vocabulary import PAINTABLE, THINGS


def test_there_are_many_things_and_every_name_belongs_to_one():
    names = [name for thing in THINGS for name in thing.names]
    assert len(THINGS) >= 150
    assert len(names) == len(set(names))
    assert all(name == name.lower() for name in names)


def test_paintable_things_exist():
    assert {thing.name for thing in THINGS} >= PAINTABLE
