"""From two axes to the requests of their crossings."""

from dataclasses import replace

import pytest

from tests.ui.fakes import LIMITS
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.ui.grid import plan

VALUES = {"prompt": "a cat", "seed": 7}


def test_every_crossing_is_drawn_row_by_row_with_both_its_values_and_nothing_else_changed():
    grid = plan(LIMITS, VALUES, ("prior_steps", "5, 10, 3"), ("seed", "2, 1"))
    assert (grid.columns, grid.rows) == (3, 2)
    base = LIMITS.request(VALUES)
    assert [cell.request for cell in grid.cells] == [
        replace(base, prior_steps=steps, seed=seed) for seed in (2, 1) for steps in (5, 10, 3)
    ]
    assert grid.cells[4].names == (("Prior steps", "10"), ("Seed", "1"))
    assert grid.base == base


def test_one_axis_alone_is_a_row_or_a_column():
    across = plan(LIMITS, VALUES, ("seed", "1-3"), ("", "ignored"))
    down = plan(LIMITS, VALUES, ("", ""), ("seed", "1-3"))
    assert (across.columns, across.rows) == (3, 1)
    assert (down.columns, down.rows) == (1, 3)
    assert across.cells == down.cells


def test_prompts_and_sizes_cross_with_anything():
    grid = plan(LIMITS, VALUES | {"prompt": "a {cat|dog}"}, ("size", "256, 512x256"), ("prompt", ""))
    assert [(cell.request.prompt, cell.request.width, cell.request.height) for cell in grid.cells] == [
        ("a cat", 256, 256),
        ("a cat", 512, 256),
        ("a dog", 256, 256),
        ("a dog", 512, 256),
    ]
    assert grid.cells[3].names == (("", "512 × 256"), ("", "dog"))
    assert grid.base.prompt == "a {cat|dog}"


def test_a_seed_that_nobody_chose_is_drawn_once_for_all():
    grid = plan(LIMITS, {"prompt": "a cat", "seed": None}, ("prior_steps", "1-9"), ("", ""))
    assert {cell.request.seed for cell in grid.cells} == {grid.base.seed}


def test_each_cell_is_one_picture_whatever_the_page_was_set_to():
    grid = plan(LIMITS, VALUES | {"images": 8}, ("seed", "1-3"), ("", ""))
    assert {cell.request.images for cell in grid.cells} == {1}


@pytest.mark.parametrize(
    ("across", "down", "said"),
    [
        (("", ""), ("", ""), "Nothing is varied"),
        (("seed", "1"), ("seed", "2"), "the same setting"),
        (("seed", "1-7"), ("prior_steps", "1-6"), "7 across and 6 down are 42 pictures; a comparison has at most 36"),
        (("seed", "1-7"), ("prior_steps", "0"), "Prior steps is 0"),
        (("image", "1"), ("", ""), "no such setting"),
    ],
)
def test_each_mistake_gets_one_sentence(across, down, said):
    with pytest.raises(InvalidRequest, match=said):
        plan(LIMITS, VALUES, across, down)


def test_the_largest_comparison_is_taken():
    assert len(plan(LIMITS, VALUES, ("seed", "1-6"), ("prior_steps", "1-6")).cells) == 36


def test_variants_that_are_not_compared_are_refused_and_escaped_braces_are_text():
    with pytest.raises(InvalidRequest, match="choose Prompt variants"):
        plan(LIMITS, {"prompt": "a {cat|dog}"}, ("seed", "1"), ("", ""))
    grid = plan(LIMITS, {"prompt": r"a \{cat|dog\}"}, ("seed", "1"), ("", ""))
    assert grid.cells[0].request.prompt == "a {cat|dog}"


def test_the_estimate_counts_cells_that_can_be_drawn_together_as_pictures_of_one_request():
    grid = plan(LIMITS, VALUES, ("seed", "1-3"), ("prior_steps", "10, 20"))
    asked = []

    def estimate(request):
        asked.append((request.prior_steps, request.images))
        return request.prior_steps * request.images

    assert grid.seconds(estimate) == 10 * 3 + 20 * 3
    assert sorted(asked) == [(10, 3), (20, 3)]


def test_an_estimate_that_misses_a_part_is_none():
    grid = plan(LIMITS, VALUES, ("size", "256, 512"), ("", ""))
    assert grid.seconds(lambda request: 1.0 if request.width == 256 else None) is None


def test_the_record_has_both_axes_with_their_values():
    grid = plan(LIMITS, VALUES, ("seed", "1-2"), ("prior_guidance", "4, 1.5"))
    assert grid.described() == {
        "across": {"setting": "seed", "values": ["1", "2"]},
        "down": {"setting": "prior_guidance", "values": ["4", "1.5"]},
    }
