"""Theme of the page: colors and fonts for Gradio, from static/theme.toml.

What a theme cannot set is in static/style.css.
"""

from __future__ import annotations

import tomllib
from typing import Any

from gradio.themes import Base
from gradio.themes.utils.colors import Color

from wuerst_demo.web.shared.static_files import read_static


def create_theme() -> Base:
    tables = tomllib.loads(read_static("theme.toml"))
    hues: dict[str, Any] = {name: Color(*shades.split()) for name, shades in tables["palettes"].items()}
    theme = Base(**hues, **tables["fonts"])
    theme.set(**tables["properties"])
    for name, (light, dark) in tables["light_and_dark"].items():
        theme.set(**{name: light, f"{name}_dark": dark})
    return theme
