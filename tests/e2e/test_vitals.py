"""The addresses beside the page, asked over the network as a program that watches would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from tests.e2e.opening import opened
from tests.ui.fakes import studio
from wuerst_demo.settings import Settings
from wuerst_demo.ui.vitals import Vitals


def got(address):
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_they_answer_beside_the_page_also_where_the_page_asks_for_a_password():
    alive = [True]
    vitals = Vitals(lambda: {"alive": alive[0]}, lambda: b"wuerst_rows 3\n")
    with opened(studio(), Settings(auth="me:secret"), vitals) as address:
        assert got(f"{address}metrics") == (200, b"wuerst_rows 3\n")
        status, text = got(f"{address}healthz")
        assert (status, json.loads(text)) == (200, {"alive": True})
        alive[0] = False
        assert got(f"{address}healthz")[0] == 503


@pytest.mark.parametrize("path", ["healthz", "metrics"])
def test_without_them_there_is_nothing_to_be_had(quick, path):
    assert got(f"{quick}{path}")[0] == 404
