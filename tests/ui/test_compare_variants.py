"""Variants in a prompt, and what of it is text."""

from itertools import product

import pytest

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.ui.variants import count, variants


def prompts(text):
    return [each.prompt for each in variants(text)]


def labels(text):
    return [each.label for each in variants(text)]


def test_a_prompt_without_variants_is_one_prompt():
    for plain in ("", "a cat", "a (cat)1.5 and a dog++", "{a cat}", "a {", "a }", "cat | dog", "{{}", "}{"):
        assert prompts(plain) == [plain]
        assert count(plain) == 1


def test_variants_come_in_the_order_they_are_written_the_first_braces_slowest():
    animals, places = ["cat", "dog", "fox"], ["snow", "sand"]
    found = variants("a {cat|dog|fox} in the {snow|sand}")
    expected = list(product(animals, places))
    assert [each.prompt for each in found] == [f"a {animal} in the {place}" for animal, place in expected]
    assert [each.label for each in found] == [f"{animal}, {place}" for animal, place in expected]
    assert count("a {cat|dog|fox} in the {snow|sand}") == len(expected)


def test_a_variant_may_be_empty_and_is_called_nothing():
    assert prompts("a {|red }house") == ["a house", "a red house"]
    assert labels("a {|red }house") == ["nothing", "red"]


def test_what_is_written_twice_is_drawn_once():
    assert prompts("a {cat|dog|cat}") == ["a cat", "a dog"]


def test_weights_go_inside_around_and_behind_the_braces():
    assert prompts("a {cat++|(dog)0.5}") == ["a cat++", "a (dog)0.5"]
    assert prompts("a ({cat|dog})1.5") == ["a (cat)1.5", "a (dog)1.5"]
    assert prompts('("{cat|dog}", "a hat").and()') == ['("cat", "a hat").and()', '("dog", "a hat").and()']
    assert prompts("a {cat|dog}++") == ["a cat++", "a dog++"]


def test_a_bracket_over_the_border_of_two_variants_is_refused_with_the_way_to_write_it():
    for torn in ("a {(cat|dog)1.5}", "{((cat)|(dog))}"):
        with pytest.raises(InvalidRequest, match=r"as in \(\{cat\|dog\}\)1\.5"):
            variants(torn)


def test_a_lonely_bracket_and_an_escaped_one_are_nobodys_border():
    assert prompts("{:)|:-D}") == [":)", ":-D"]
    assert prompts(r"{\(cat|dog\)}") == [r"\(cat", r"dog\)"]


def test_marks_behind_a_backslash_are_text_and_other_backslashes_stay():
    assert prompts(r"\{a|b\}") == ["{a|b}"]
    assert prompts(r"{a\|b|c}") == ["a|b", "c"]
    assert prompts(r"{a\}|b}") == ["a}", "b"]
    assert prompts(r"\(plain\) {a|b}") == [r"\(plain\) a", r"\(plain\) b"]


def test_variants_within_variants_are_refused():
    for nested in ("a {cat|{red|blue} dog}", "a {{red|blue} dog|cat}"):
        with pytest.raises(InvalidRequest, match="variants within variants"):
            variants(nested)


def test_braces_that_are_never_closed_are_text():
    assert prompts("a {cat|dog") == ["a {cat|dog"]
    assert prompts("{x {cat|dog}") == ["{x cat", "{x dog"]
    assert prompts("{x|{cat|dog}") == ["{x|cat", "{x|dog"]


def test_many_braces_are_counted_without_being_written_out():
    assert count("{a|b}" * 300) == 2**300
