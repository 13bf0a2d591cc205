"""What a file or a link says about how a picture was drawn: untrusted values, by the names of a request's fields.

Does not know where they were found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wuerst_demo.errors import InvalidRequest
from wuerst_demo.request import Limits


@dataclass(frozen=True)
class Found:
    """What a file says about how it was drawn. `values` are untrusted: pass them to `Limits.request`, or use `fit`.

    `unread` names what the file says beyond that, such as another program's sampler.
    """

    values: Mapping[str, object]
    checkpoint: str = ""
    revision: str = ""
    program: str = ""
    unread: tuple[str, ...] = ()

    def fit(self, limits: Limits) -> tuple[dict[str, object], tuple[str, ...]]:
        """The values that `limits` admit, and one sentence for each that they do not."""
        values: dict[str, object] = {}
        refused: list[str] = []
        for name, value in self.values.items():
            try:
                limits.request({name: value})
            except InvalidRequest as error:
                refused.append(str(error))
            else:
                values[name] = value
        return values, tuple(refused)
