"""The table of known checkpoints, and suggestions for misspelled names."""

import pytest

from wuerst_demo.checkpoints.registry import KNOWN_CHECKPOINTS, suggest_known_name


def test_every_entry_accepts_its_own_examples():
    for entry in KNOWN_CHECKPOINTS.values():
        requests = [entry.limits.request({"prompt": example}) for example in entry.examples]
        assert [request.prompt for request in requests] == list(entry.examples)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("wurstchen", "warp-ai/wuerstchen"),
        ("cocktial", "cocktail"),
        ("stage-a-ft-hd", "madebyollin/stage-a-ft-hq"),
        ("warp-ai/wurstchen@v2", "warp-ai/wuerstchen"),
    ],
)
def test_a_misspelled_name_gets_a_suggestion(text, suggestion):
    assert suggestion in suggest_known_name(text)


@pytest.mark.parametrize("name", ["warp-ai/wuerstchen", "warp-ai/wuerstchen@v2", "owner/entirely-different"])
def test_a_known_or_entirely_different_name_gets_no_suggestion(name):
    assert suggest_known_name(name) == ""
