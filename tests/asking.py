"""Requests of every kind, for properties that hold for all of them."""

from __future__ import annotations

from hypothesis import strategies as st

from wuerst_demo.request import Choice, Limits, Number, Request, Switch, Text


def values(limits: Limits) -> dict[str, st.SearchStrategy]:
    """For every field, the values that the limits admit, with text from all of Unicode."""

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

    return {name: of(description) for name, description in limits.descriptions.items()}


def requests(limits: Limits) -> st.SearchStrategy[Request]:
    """Requests of every kind that the limits admit."""
    return st.fixed_dictionaries(values(limits)).map(limits.request)
