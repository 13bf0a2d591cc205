"""Variants in a prompt, and what of it is text."""

from itertools import product

import pytest

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.web.compare.prompt_variants import _parse_pieces, count_variants, expand_variants


def prompts(text):
    return [each.prompt for each in expand_variants(text)]


def labels(text):
    return [each.label for each in expand_variants(text)]


def test_a_prompt_without_variants_is_one_prompt():
    for plain in ("", "a cat", "a (cat)1.5 and a dog++", "{a cat}", "a {", "a }", "cat | dog", "{{}", "}{"):
        assert prompts(plain) == [plain]
        assert count_variants(plain) == 1


def test_variants_keep_their_order_and_the_last_braces_vary_fastest():
    animals, places = ["cat", "dog", "fox"], ["snow", "sand"]
    found = expand_variants("a {cat|dog|fox} in the {snow|sand}")
    expected = list(product(animals, places))
    assert [each.prompt for each in found] == [f"a {animal} in the {place}" for animal, place in expected]
    assert [each.label for each in found] == [f"{animal}, {place}" for animal, place in expected]
    assert count_variants("a {cat|dog|fox} in the {snow|sand}") == len(expected)


def test_an_empty_variant_is_labelled_nothing():
    assert prompts("a {|red }house") == ["a house", "a red house"]
    assert labels("a {|red }house") == ["nothing", "red"]


def test_duplicate_variants_are_dropped():
    assert prompts("a {cat|dog|cat}") == ["a cat", "a dog"]


def test_weights_work_inside_around_and_behind_the_braces():
    assert prompts("a {cat++|(dog)0.5}") == ["a cat++", "a (dog)0.5"]
    assert prompts("a ({cat|dog})1.5") == ["a (cat)1.5", "a (dog)1.5"]
    assert prompts('("{cat|dog}", "a hat").and()') == ['("cat", "a hat").and()', '("dog", "a hat").and()']
    assert prompts("a {cat|dog}++") == ["a cat++", "a dog++"]


def test_a_bracket_across_two_variants_is_rejected_with_a_remedy():
    for torn in ("a {(cat|dog)1.5}", "{((cat)|(dog))}"):
        with pytest.raises(InvalidRequest, match=r"as in \(\{cat\|dog\}\)1\.5"):
            expand_variants(torn)


def test_unbalanced_and_escaped_brackets_are_allowed_in_variants():
    assert prompts("{:)|:-D}") == [":)", ":-D"]
    assert prompts(r"{\(cat|dog\)}") == [r"\(cat", r"dog\)"]


def test_escaped_marks_are_text_and_other_backslashes_stay():
    assert prompts(r"\{a|b\}") == ["{a|b}"]
    assert prompts(r"{a\|b|c}") == ["a|b", "c"]
    assert prompts(r"{a\}|b}") == ["a}", "b"]
    assert prompts(r"\(plain\) {a|b}") == [r"\(plain\) a", r"\(plain\) b"]


def test_nested_variants_are_rejected():
    for nested in ("a {cat|{red|blue} dog}", "a {{red|blue} dog|cat}"):
        with pytest.raises(InvalidRequest, match="variants within variants"):
            expand_variants(nested)


def test_unclosed_braces_are_text():
    assert prompts("a {cat|dog") == ["a {cat|dog"]
    assert prompts("{x {cat|dog}") == ["{x cat", "{x dog"]
    assert prompts("{x|{cat|dog}") == ["{x|cat", "{x|dog"]


def test_many_braces_are_counted_without_expanding_them():
    assert count_variants("{a|b}" * 300) == 2**300


def test_a_thousand_nested_braces_are_one_piece_of_text():
    prompt = "{" * 1000 + "}" * 1000
    assert _parse_pieces(prompt) == [(prompt,)]  # and not a list of each, copied at every brace
    assert [each.prompt for each in expand_variants(prompt)] == [prompt]
