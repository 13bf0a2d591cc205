"""Hypothesis strategies for requests."""

from __future__ import annotations

from hypothesis import strategies as st

from wuerst_demo.fields import Choice, Number, Switch, Text
from wuerst_demo.request import Limits, Request


def values(limits: Limits) -> dict[str, st.SearchStrategy]:
    """Field -> allowed values, with text from all of Unicode."""

    def of(description):
        match description:
            case Text():
                # Every character the request takes: no controls but these three, no lone surrogates.
                return st.text(st.characters(exclude_categories=("Cc", "Cs")) | st.sampled_from("\n\r\t"), max_size=300)
            case Switch():
                return st.booleans()
            case Choice():
                return st.sampled_from(description.choices)
            case Number(whole=True):
                steps = st.integers(-(-description.least // description.step), description.most // description.step)
                return steps.map(lambda n: n * description.step)
            case Number():
                return st.floats(description.least, description.most)

    found = {name: of(description) for name, description in limits.descriptions.items()}
    # Any of these intervals begins before it ends, with the default at the other end, too.
    return {**found, "guidance_from": st.floats(0, 0.5), "guidance_to": st.floats(0.5, 1, exclude_min=True)}


def requests(limits: Limits) -> st.SearchStrategy[Request]:
    """All allowed requests."""
    return st.fixed_dictionaries(values(limits)).map(limits.request)
