"""Which rows go together: a pure function, tried on rows of the fake."""

from __future__ import annotations

from tests.fakes import FakeRow
from wuerst_demo.engine.batching import together
from wuerst_demo.request import Limits

REQUEST = Limits().request({"seed": 1})


def rows(*stages):
    return [FakeRow(image, REQUEST, stage, 0, 1) for image, stage in enumerate(stages)]


def test_the_first_row_decides_which_rows_go_with_it():
    assert [row.image for row in together(rows("decoder", "prior", "decoder", "vqgan"), 8)] == [0, 2]


def test_no_more_rows_go_together_than_there_is_room_for():
    assert [row.image for row in together(rows("prior", "prior", "prior"), 2)] == [0, 1]
