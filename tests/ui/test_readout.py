from tests.ui.fakes import Reading, Word, read
from wuerst_demo.ui.readout import readout, refused


def test_only_weighted_words_are_marked_and_each_says_its_weight():
    seen = readout(read("a RED -dull apple", True))
    assert [label for _, label in seen.spans] == [None, "× 1.5", "× 0.5", None]
    assert "".join(text for text, _ in seen.spans) == "a RED -dull apple "
    assert seen.weighted
    assert set(seen.colors) == {"× 1.5", "× 0.5"}
    assert seen.colors["× 1.5"] != seen.colors["× 0.5"]


def test_plain_text_marks_nothing():
    assert not readout(read("a red apple", True)).weighted


def test_heavier_words_take_another_color_than_slight_ones():
    seen = readout(Reading((Word("a", 1.1), Word("b", 1.9), Word("c", 0.9), Word("d", 0.1)), 6))
    assert len(set(seen.colors.values())) == 4


def test_the_summary_counts_and_says_what_lies_beyond():
    long = " ".join(f"word{k}" for k in range(100))
    summary = readout(read(long, True)).summary
    assert "102 of 77 tokens" in summary
    assert "word99" in summary
    assert "The rest is left out." in summary


def test_markup_in_a_prompt_leaves_as_text():
    evil = "<img src=x onerror=alert(1)>"
    assert "<img" not in readout(Reading((), 80, beyond=evil, notes=(evil,))).summary
    assert "<img" not in refused(evil).summary
