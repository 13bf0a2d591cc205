"""Share links: round trip, and untrusted queries."""

from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.web import EMBEDDINGS, LIMITS
from tests.strategies import requests
from wuerst_demo.request import Limits
from wuerst_demo.variation import Variation
from wuerst_demo.web.shared.share_link import MAX_LINK_NOTES, SOURCE_NOTE, decode_link, encode_link


def query(link):
    """What a server makes of the tail of a link."""
    assert link.startswith("?")
    return dict(parse_qsl(link[1:], keep_blank_values=True, strict_parsing=len(link) > 1))


@given(requests(LIMITS))
def test_a_request_survives_the_round_trip_through_a_link(request):
    tail = encode_link(request, LIMITS)
    assert tail.isascii()
    assert " " not in tail
    values, said = decode_link(query(tail), LIMITS)
    assert LIMITS.request(values) == request
    assert said == ()


def test_a_link_holds_only_what_differs_from_the_defaults():
    request = LIMITS.request({"prompt": "a cat & a dog?", "seed": 7, "prior_guidance": 0.1, "weighting": False})
    assert encode_link(request, LIMITS) == "?prompt=a%20cat%20%26%20a%20dog%3F&weighting=off&seed=7&prior_guidance=0.1"


def test_a_link_to_a_varied_picture_says_that_it_needs_the_file():
    request = LIMITS.request({"prompt": "a cat", "seed": 7})
    link = encode_link(replace(request, variation=Variation(EMBEDDINGS, 0.5)), LIMITS)
    values, said = decode_link(query(link), LIMITS)
    assert LIMITS.request(values) == request
    assert said == (SOURCE_NOTE,)


def test_the_longest_request_fits_into_a_link():
    request = Limits().request({"prompt": "🐈" * 2000, "negative_prompt": "\\" * 2000})
    assert len(encode_link(request, Limits())) < 60_000  # servers take 64 KB
    assert Limits().request(decode_link(query(encode_link(request, Limits())), Limits())[0]) == request


def test_valid_values_are_used_and_the_others_reported():
    values, said = decode_link(
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
def test_an_invalid_seed_is_reported_and_not_replaced(text):
    values, (sentence,) = decode_link({"seed": text}, LIMITS)
    assert values == {}
    assert sentence.startswith("Seed ")
    assert len(sentence) < 100


def test_gradios_own_parameters_are_ignored():
    assert decode_link({"__theme": "dark", "__sign": "abc", "view": "api", "prompt": "cat"}, LIMITS) == (
        {"prompt": "cat"},
        (),
    )


@pytest.mark.parametrize(
    "name",
    [
        *(
            "fbclid",
            "utm_source",
            "UTM_Campaign",
            "utm_id",
            "gclid",
            "msclkid",
            "mc_eid",
            "mc_cid",
            "igshid",
            "ref",
            "si",
        ),
        *(
            "twclid",
            "ttclid",
            "yclid",
            "dclid",
            "gbraid",
            "wbraid",
            "gad_source",
            "_ga",
            "srsltid",
            "li_fat_id",
            "igsh",
        ),
    ],
)
def test_tracking_parameters_are_passed_over_in_silence(name):
    assert decode_link({name: "x" * 3000, "prompt": "cat"}, LIMITS) == ({"prompt": "cat"}, ())


@pytest.mark.parametrize("name", ["widht", "sampler", "refs", "xutm_source", "prompt2"])
def test_a_mistyped_setting_is_not_taken_for_a_tracking_parameter(name):
    assert len(decode_link({name: "1"}, LIMITS)[1]) == 1


def test_no_setting_is_taken_for_a_tracking_parameter():
    given = {name: str(value) for name, value in LIMITS.request({"prompt": "cat", "seed": 1}).to_dict().items()}
    assert decode_link({**given, "weighting": "on"}, LIMITS)[0].keys() == given.keys()


def test_a_link_full_of_mistakes_gets_few_notes():
    values, said = decode_link({f"x{k}": "1" for k in range(1000)} | {"prompt": "cat"}, LIMITS)
    assert values == {"prompt": "cat"}
    assert len(said) == MAX_LINK_NOTES
    assert said[-1] == f"{1000 - MAX_LINK_NOTES + 1} more values of the link cannot be used."


@given(st.dictionaries(st.text(), st.text()))
def test_no_link_raises(query):
    values, said = decode_link(query, LIMITS)
    LIMITS.request(values)
    assert all("\n" not in sentence for sentence in said)


def test_unknown_names_in_a_link_are_shortened():
    evil = '<script>alert("1")</script>'
    values, (sentence,) = decode_link({"prompt": evil, evil * 100: "1"}, LIMITS)
    assert values == {"prompt": evil}
    assert len(sentence) < 400
