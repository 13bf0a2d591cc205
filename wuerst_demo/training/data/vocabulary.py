"""The vocabulary of the training data, from vocabulary.toml: things, places, times, styles and colours."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

RGB = tuple[int, int, int]
_TABLES = tomllib.loads(Path(__file__).with_name("vocabulary.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Thing:
    """One glyph of the emoji font and its everyday names, the most common one first."""

    glyph: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The most common name."""
        return self.names[0]


def _phrases(table: str) -> dict[str, tuple[str, ...]]:
    return {name: tuple(phrases) for name, phrases in _TABLES[table].items()}


THINGS = tuple(Thing(entry[0], tuple(entry[2:].split(", "))) for entry in _TABLES["things"])
PAINTABLE = frozenset(_TABLES["paintable"])  #: Names of the things that occur in any of COLOURS.
PLACES, TIMES, STYLES = _phrases("places"), _phrases("times"), _phrases("styles")  #: Name -> its phrases in captions.
COLOURS: dict[str, RGB] = {name: tuple(rgb) for name, rgb in _TABLES["colours"].items()}
GROUND_COLOURS: dict[str, RGB] = {name: tuple(rgb) for name, rgb in _TABLES["ground_colours"].items()}
SKY_COLOURS: dict[str, tuple[RGB, RGB]] = {
    name: (tuple(top), tuple(bottom)) for name, (top, bottom) in _TABLES["sky_colours"].items()
}
