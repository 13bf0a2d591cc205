"""How the page looks: Gradio's theme in our colors and in the fonts that every system has.

No web fonts: the page must look the same without a network, and tell nobody that it was opened. What a theme cannot
say stands in assets/style.css.
"""

from __future__ import annotations

from pathlib import Path

from gradio.themes import Base
from gradio.themes.utils.colors import Color

ASSETS = Path(__file__).resolve().parents[2] / "assets"

MUSTARD = Color(
    name="mustard",
    c50="#fdf8ea",
    c100="#faeec8",
    c200="#f5de95",
    c300="#efca5e",
    c400="#e9b83a",
    c500="#dda51f",
    c600="#b98314",
    c700="#8f6210",
    c800="#6b490f",
    c900="#4a330d",
    c950="#2c1e07",
)
PAPRIKA = Color(
    name="paprika",
    c50="#fdf3ef",
    c100="#fbe2d9",
    c200="#f5c3b1",
    c300="#ec9b80",
    c400="#df7250",
    c500="#c9532f",
    c600="#ae4122",
    c700="#8d341b",
    c800="#6e2a18",
    c900="#4f2014",
    c950="#2f120b",
)
PAPER = Color(
    name="paper",
    c50="#fbf9f5",
    c100="#f4f0e9",
    c200="#e6e0d6",
    c300="#cfc7bb",
    c400="#a39a8d",
    c500="#7a7267",
    c600="#5d564d",
    c700="#453f38",
    c800="#2c2823",
    c900="#1f1b18",
    c950="#151210",
)
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Helvetica Neue", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")


def theme() -> Base:
    made = Base(primary_hue=PAPRIKA, secondary_hue=MUSTARD, neutral_hue=PAPER, font=SANS, font_mono=MONO)
    made.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_radius="12px",
        block_shadow="none",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_900",
        block_title_text_color_dark="*neutral_100",
        block_title_text_weight="600",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_950",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        input_radius="8px",
        slider_color="*primary_500",
        slider_color_dark="*primary_500",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
        checkbox_border_color_selected="*primary_600",
        checkbox_border_color_selected_dark="*primary_500",
        button_large_radius="10px",
        button_primary_background_fill="*secondary_400",
        button_primary_background_fill_hover="*secondary_500",
        button_primary_background_fill_dark="*secondary_400",
        button_primary_background_fill_hover_dark="*secondary_300",
        button_primary_border_color="transparent",
        button_primary_border_color_hover="transparent",
        button_primary_border_color_dark="transparent",
        button_primary_border_color_hover_dark="transparent",
        button_primary_text_color="*secondary_950",
        button_primary_text_color_dark="*secondary_950",
        button_secondary_background_fill="*neutral_100",
        button_secondary_background_fill_hover="*neutral_200",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_text_color="*neutral_900",
        button_secondary_text_color_dark="*neutral_100",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
    )
    return made
