"""Prompt read-out: token count, weights, notes and unknown words."""

from tests.fakes.web import FakeReadout, FakeWord, parse_prompt
from wuerst_demo.web.generate.prompt_readout import (
    describe_prompt,
    describe_rejection,
    find_unknown_words,
    render_vocabulary_hint,
)

KNOWS = ("cat", "hot dog", "fox", "in", "the", "snow", "at", "night")


def test_only_weighted_words_are_labelled_with_their_weight():
    seen = describe_prompt(parse_prompt("a RED -dull apple", True))
    assert [label for _, label in seen.spans] == [None, "× 1.5", "× 0.5", None]
    assert "".join(text for text, _ in seen.spans) == "a RED -dull apple "
    assert seen.weighted
    assert set(seen.colors) == {"× 1.5", "× 0.5"}
    assert seen.colors["× 1.5"] != seen.colors["× 0.5"]


def test_plain_text_has_no_labels():
    assert not describe_prompt(parse_prompt("a red apple", True)).weighted


def test_heavy_weights_have_another_color_than_slight_ones():
    seen = describe_prompt(
        FakeReadout((FakeWord("a", 1.1), FakeWord("b", 1.9), FakeWord("c", 0.9), FakeWord("d", 0.1)), 6)
    )
    assert len(set(seen.colors.values())) == 4


def test_the_summary_counts_tokens_and_quotes_the_truncated_text():
    long = " ".join(f"word{k}" for k in range(100))
    summary = describe_prompt(parse_prompt(long, True)).summary
    assert "102 of 77 tokens" in summary
    assert "word99" in summary
    assert "The rest is left out." in summary


def test_markup_in_a_prompt_is_escaped():
    evil = "<img src=x onerror=alert(1)>"
    assert "<img" not in describe_prompt(FakeReadout((), 80, beyond=evil, notes=(evil,))).summary
    assert "<img" not in describe_rejection(evil).summary


def test_unknown_words_are_listed_once_in_order():
    assert find_unknown_words(
        "The anthropomorphic CAT, in 3 hot-dog costumes and with snow: anthropomorphic", KNOWS
    ) == (
        "anthropomorphic",
        "costumes",
    )


def test_without_a_vocabulary_every_word_is_known():
    assert find_unknown_words("anthropomorphic", ()) == ()
    assert render_vocabulary_hint((), KNOWS, 3) == ""


def test_the_hint_names_unknown_words_similar_ones_and_known_things():
    said = render_vocabulary_hint(("cats", "anthropomorphic"), KNOWS, 3)
    assert "<q>cats</q> (try <q>cat</q>)" in said
    assert "<q>anthropomorphic</q>." in said
    assert "3 things, such as cat, hot dog, fox" in said
    assert "1 thing, such as cat" in render_vocabulary_hint(("dog",), KNOWS, 1)


def test_the_hint_is_short_and_escaped_for_many_long_words():
    said = render_vocabulary_hint([f"word{'x' * 2000}{chr(97 + k)}" for k in range(20)], KNOWS, 3)
    assert len(said) < 500
    assert "and 15 more" in said
    assert "<b>" not in render_vocabulary_hint(("<b>",), KNOWS, 0)
