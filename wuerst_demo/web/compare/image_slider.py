"""Choice of two images for the slider: cells of the comparison, or images of the Generate tab.

The browser names the files, so each path is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from wuerst_demo.messages import message
from wuerst_demo.web.compare.table import list_table_files
from wuerst_demo.web.i18n.translate import translate
from wuerst_demo.web.middleware.uploads import is_served


def update_choices(reset: bool, gallery: object, table: object, left: object, right: object) -> tuple[Any, ...]:
    """Updates of the slider's components for the images there are now.

    A choice stays unless `reset`. Otherwise it is the first and the last cell or, without a table, the first and the
    last generated image.
    """
    images = list_images(gallery, table)
    choices = [(label, key) for key, (label, _) in images.items()]
    keys = [key for key in images if key.startswith("cell")]
    keys = keys if len(keys) > 1 else list(images)
    enough = len(images) > 1
    chosen = [
        value if isinstance(value, str) and value in images and not reset else keys[position] if enough else None
        for value, position in ((left, 0), (right, -1))
    ]
    sides = [gr.Dropdown(choices=choices, value=value) for value in chosen]
    slider = update_slider(gallery, table, *chosen) if enough else gr.ImageSlider(None, visible=False)
    return gr.HTML(visible=not enough), gr.Row(visible=enough), *sides, slider


def update_slider(gallery: object, table: object, left: object, right: object) -> Any:
    """The slider over both images, or no change while a side is missing.

    Both sides are set at once, and the answer to the first one's change may come last.
    """
    images = list_images(gallery, table)
    paths = [images[key][1] for key in (left, right) if isinstance(key, str) and key in images]
    return gr.ImageSlider((paths[0], paths[1]), visible=True) if len(paths) == 2 else gr.skip()


def list_images(gallery: object, table: object) -> dict[str, tuple[str, str]]:
    """Key of every image on the page -> its label and file, without files that the page does not serve."""
    cells = {f"cell {k}": each for k, each in enumerate(list_table_files(table))}
    items = [each for each in gallery if isinstance(each, Mapping)] if isinstance(gallery, list) else []
    generated = {}
    for k, item in enumerate(items):
        image = item.get("image")
        if isinstance(image, Mapping) and isinstance(image.get("path"), str):
            generated[f"drawn {k}"] = (
                translate(message("Picture: {name}", name=item.get("caption") or k + 1)),
                image["path"],
            )
    return {key: (label, path) for key, (label, path) in (cells | generated).items() if is_served(path)}
