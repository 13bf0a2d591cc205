"""From two axes to the requests of their crossings."""

from dataclasses import replace

import pytest

from tests.fakes.web import LIMITS
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.web.compare.grid import plan_grid

VALUES = {"prompt": "a cat", "seed": 7}


def test_cells_are_all_combinations_row_by_row_and_change_nothing_else():
    grid = plan_grid(LIMITS, VALUES, ("prior_steps", "5, 10, 3"), ("seed", "2, 1"))
    assert (grid.columns, grid.rows) == (3, 2)
    base = LIMITS.request(VALUES)
    assert [cell.request for cell in grid.cells] == [
        replace(base, prior_steps=steps, seed=seed) for seed in (2, 1) for steps in (5, 10, 3)
    ]
    assert grid.cells[4].names == (("Prior steps", "10"), ("Seed", "1"))
    assert grid.base == base


def test_one_axis_makes_one_row_or_column():
    across = plan_grid(LIMITS, VALUES, ("seed", "1-3"), ("", "ignored"))
    down = plan_grid(LIMITS, VALUES, ("", ""), ("seed", "1-3"))
    assert (across.columns, across.rows) == (3, 1)
    assert (down.columns, down.rows) == (1, 3)
    assert across.cells == down.cells


def test_prompts_and_sizes_combine_with_any_axis():
    grid = plan_grid(LIMITS, VALUES | {"prompt": "a {cat|dog}"}, ("size", "256, 512x256"), ("prompt", ""))
    assert [(cell.request.prompt, cell.request.width, cell.request.height) for cell in grid.cells] == [
        ("a cat", 256, 256),
        ("a cat", 512, 256),
        ("a dog", 256, 256),
        ("a dog", 512, 256),
    ]
    assert grid.cells[3].names == (("", "512 × 256"), ("", "dog"))
    assert grid.base.prompt == "a {cat|dog}"


def test_an_open_seed_is_chosen_once_for_all_cells():
    grid = plan_grid(LIMITS, {"prompt": "a cat", "seed": None}, ("prior_steps", "1-9"), ("", ""))
    assert {cell.request.seed for cell in grid.cells} == {grid.base.seed}


def test_each_cell_is_one_image_whatever_the_page_is_set_to():
    grid = plan_grid(LIMITS, VALUES | {"images": 8}, ("seed", "1-3"), ("", ""))
    assert {cell.request.images for cell in grid.cells} == {1}


@pytest.mark.parametrize(
    ("across", "down", "said"),
    [
        (("", ""), ("", ""), "Nothing varies"),
        (("seed", "1"), ("seed", "2"), "the same setting"),
        (("seed", "1-7"), ("prior_steps", "1-6"), "7 across and 6 down are 42 pictures; a comparison has at most 36"),
        (("seed", "1-7"), ("prior_steps", "0"), "Prior steps is 0"),
        (("image", "1"), ("", ""), "no such setting"),
    ],
)
def test_each_mistake_gets_one_message(across, down, said):
    with pytest.raises(InvalidRequest, match=said):
        plan_grid(LIMITS, VALUES, across, down)


def test_the_largest_allowed_comparison_is_accepted():
    assert len(plan_grid(LIMITS, VALUES, ("seed", "1-6"), ("prior_steps", "1-6")).cells) == 36


def test_variants_without_their_axis_are_rejected_and_escaped_braces_are_text():
    with pytest.raises(InvalidRequest, match="choose Prompt variants"):
        plan_grid(LIMITS, {"prompt": "a {cat|dog}"}, ("seed", "1"), ("", ""))
    grid = plan_grid(LIMITS, {"prompt": r"a \{cat|dog\}"}, ("seed", "1"), ("", ""))
    assert grid.cells[0].request.prompt == "a {cat|dog}"


def test_the_estimate_merges_similar_cells_into_one_request():
    grid = plan_grid(LIMITS, VALUES, ("seed", "1-3"), ("prior_steps", "10, 20"))
    asked = []

    def estimate(request):
        asked.append((request.prior_steps, request.images))
        return request.prior_steps * request.images

    assert grid.estimate_seconds(estimate) == 10 * 3 + 20 * 3
    assert sorted(asked) == [(10, 3), (20, 3)]


def test_an_estimate_with_an_unknown_part_is_none():
    grid = plan_grid(LIMITS, VALUES, ("size", "256, 512"), ("", ""))
    assert grid.estimate_seconds(lambda request: 1.0 if request.width == 256 else None) is None


def test_both_axes_are_described_with_their_values():
    grid = plan_grid(LIMITS, VALUES, ("seed", "1-2"), ("prior_guidance", "4, 1.5"))
    assert grid.describe_axes() == {
        "across": {"setting": "seed", "values": ["1", "2"]},
        "down": {"setting": "prior_guidance", "values": ["4", "1.5"]},
    }


def test_prompts_of_lines_replace_the_prompt_and_its_braces():
    values = VALUES | {"prompt": "a {cat|dog}"}
    grid = plan_grid(LIMITS, values, ("prompts", "a {bird|bat}\na fish --prior-steps 3"), ("decoder_steps", "1, 2"))
    assert [(each.request.prompt, each.request.prior_steps, each.request.decoder_steps) for each in grid.cells] == [
        ("a {bird|bat}", 12, 1),
        ("a fish", 3, 1),
        ("a {bird|bat}", 12, 2),
        ("a fish", 3, 2),
    ]
    assert {each.request.seed for each in grid.cells} == {7}
    assert grid.cells[1].names == (("", "a fish --prior-steps 3"), ("Decoder steps", "1"))


def test_a_setting_of_a_line_cannot_vary_on_the_other_axis():
    with pytest.raises(InvalidRequest, match="Seed varies both across and down"):
        plan_grid(LIMITS, VALUES, ("prompts", "a cat --seed 7\na dog"), ("seed", "1, 2"))
    with pytest.raises(InvalidRequest, match="Prompt varies both across and down"):
        plan_grid(LIMITS, VALUES | {"prompt": "a {cat|dog}"}, ("prompts", "a\nb"), ("prompt", ""))
