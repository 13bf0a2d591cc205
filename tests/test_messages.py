"""Tests of user-facing messages."""

import copy
import pickle

import pytest

from wuerst_demo.errors import InvalidRequest, UserError
from wuerst_demo.messages import message


def test_a_message_is_its_english_text():
    text = message("{label} is {count:,} characters long.", label=message("Prompt"), count=2001)
    assert text == "Prompt is 2,001 characters long."
    assert (text.template, text.parameters["count"]) == ("{label} is {count:,} characters long.", 2001)


def test_braces_of_a_message_without_parameters_stay():
    assert message("such as a {cat|dog}") == "such as a {cat|dog}"


def test_braces_of_a_parameter_stay():
    assert message("{name} is unknown", name="{evil} {0}") == "{evil} {0} is unknown"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda text: pickle.loads(pickle.dumps(text))])
def test_a_copy_keeps_template_and_parameters(copied):
    text = copied(message("{count} pictures", count=3))
    assert (text, text.template, text.parameters) == ("3 pictures", "{count} pictures", {"count": 3})


def test_an_error_keeps_its_template_and_parameters():
    error = pickle.loads(pickle.dumps(InvalidRequest("{label} must be text.", "prompt", label=message("Prompt"))))
    assert str(error) == error.message == "Prompt must be text."
    assert (error.field, error.message.template) == ("prompt", "{label} must be text.")
    assert UserError("such as a {cat|dog}").message == "such as a {cat|dog}"
    assert UserError().message == ""
