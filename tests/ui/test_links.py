"""A link brings a request back, and nothing that a link says is believed."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.asking import requests
from tests.ui.fakes import LIMITS
from wuerst_demo.request import Limits
from wuerst_demo.ui.links import NAMED, link, read


def query(link):
    """What a server makes of the tail of a link."""
    assert link.startswith("?")
    return dict(parse_qsl(link[1:], keep_blank_values=True, strict_parsing=len(link) > 1))


@given(requests(LIMITS))
def test_a_request_comes_back_from_its_link_as_it_was(request):
    tail = link(request, LIMITS)
    assert tail.isascii()
    assert " " not in tail
    values, said = read(query(tail), LIMITS)
    assert LIMITS.request(values) == request
    assert said == ()


def test_a_link_says_only_what_differs_from_the_defaults():
    request = LIMITS.request({"prompt": "a cat & a dog?", "seed": 7, "prior_guidance": 0.1, "weighting": False})
    assert link(request, LIMITS) == "?prompt=a%20cat%20%26%20a%20dog%3F&weighting=off&seed=7&prior_guidance=0.1"


def test_the_longest_request_fits_into_a_link():
    request = Limits().request({"prompt": "🐈" * 2000, "negative_prompt": "\\" * 2000})
    assert len(link(request, Limits())) < 60_000  # servers take 64 KB
    assert Limits().request(read(query(link(request, Limits())), Limits())[0]) == request


def test_what_is_valid_is_used_and_the_rest_is_named():
    values, said = read(
        {
            "prompt": "cat",
            "seed": "-3",
            "width": "300",
            "height": "384",
            "images": "many",
            "lora": "x",
            "weighting": "",
        },
        LIMITS,
    )
    assert values == {"prompt": "cat", "height": 384}
    assert [sentence.partition(" ")[0] for sentence in said] == ["Seed", "Width", "Pictures", "There", "Prompt"]
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in said)


@pytest.mark.parametrize("text", ["nan", "inf", "1e400", "7.5", "", " ", "0x7", "99999999999999999999", "7" * 5000])
def test_a_seed_that_is_none_is_named_and_nothing_is_put_in_its_place(text):
    values, (sentence,) = read({"seed": text}, LIMITS)
    assert values == {}
    assert sentence.startswith("Seed ")
    assert len(sentence) < 100


def test_what_is_the_pages_own_is_passed_over():
    assert read({"__theme": "dark", "__sign": "abc", "view": "api", "prompt": "cat"}, LIMITS) == ({"prompt": "cat"}, ())


def test_a_link_full_of_mistakes_gets_few_sentences():
    values, said = read({f"x{k}": "1" for k in range(1000)} | {"prompt": "cat"}, LIMITS)
    assert values == {"prompt": "cat"}
    assert len(said) == NAMED
    assert said[-1] == f"The link says {1000 - NAMED + 1} more things that cannot be used."


@given(st.dictionaries(st.text(), st.text()))
def test_no_link_makes_it_fail(query):
    values, said = read(query, LIMITS)
    LIMITS.request(values)
    assert all("\n" not in sentence for sentence in said)


def test_markup_in_a_link_stays_text_and_unknown_names_are_cut_short():
    evil = '<script>alert("1")</script>'
    values, (sentence,) = read({"prompt": evil, evil * 100: "1"}, LIMITS)
    assert values == {"prompt": evil}
    assert len(sentence) < 400
