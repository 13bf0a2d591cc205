"""Labels of scenes: what they show, how it is arranged, and where things are."""

from wuerst_demo.training.data.labels import LabelEncoder
from wuerst_demo.training.data.scenes import Item, Scene
from wuerst_demo.training.data.vocabulary import THINGS

CAT, DOG = THINGS[:2]
LABELS = LabelEncoder(THINGS[:3])
PAIR = Scene((Item(CAT, 0.25, 0.5, 128, colour="red"), Item(DOG, 0.75, 0.5, 128)), "snow", "night", 1, "neon")
COLUMN = Scene((Item(CAT, 0.5, 0.25, 128), Item(DOG, 0.5, 0.75, 128)), "blue", "", 1, column=True)
THREE = Scene((Item(DOG, 0.5, 0.5, 128),) * 3, "sea", "day", 1)
BIG = Scene((Item(CAT, 0.5, 0.5, 192, "big", "red"),), "grass", "day", 1)


def names(vector, labels):
    return {label for label, value in zip(labels, vector.tolist(), strict=True) if value}


def test_labels_are_what_a_scene_shows():
    pair, column = LABELS.encode([PAIR, COLUMN])
    assert names(pair, LABELS.labels) == {"cat", "dog", "snow", "night", "neon"}
    assert names(column, LABELS.labels) == {"cat", "dog", "blue"}
    assert LABELS.labels[:3] == tuple(thing.name for thing in THINGS[:3])


def test_layout_labels_are_order_colours_size_and_number():
    pair, column, three, big = LABELS.encode_layout([PAIR, COLUMN, THREE, BIG])
    assert names(pair, LABELS.layout_labels) == {"first cat", "first red", "second dog"}
    assert names(column, LABELS.layout_labels) == {"first cat", "second dog", "column"}
    assert names(three, LABELS.layout_labels) == {"first dog", "three"}
    assert names(big, LABELS.layout_labels) == {"first cat", "first red", "big"}


def test_positions_have_the_number_of_their_thing():
    (positions,) = LABELS.encode_positions([PAIR], (256, 256), 4, 4)
    assert positions.tolist() == [[0] * 4, [1, 1, 2, 2], [1, 1, 2, 2], [0] * 4]
