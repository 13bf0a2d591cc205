"""Scene labels as numbers: what the auxiliary heads learn to recognise in images and captions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from wuerst_demo.training.data.scenes import Scene, thing_grid
from wuerst_demo.training.data.vocabulary import COLOURS, PLACES, STYLES, TIMES, Thing


class LabelEncoder:
    """Labels of scenes with `things`."""

    def __init__(self, things: Sequence[Thing]) -> None:
        names = [thing.name for thing in things]
        self.numbers: dict[Thing | None, int] = {None: 0, **{thing: k + 1 for k, thing in enumerate(things)}}
        self.labels = (*names, *PLACES, *COLOURS, *TIMES, *STYLES)  #: What a scene shows, things first.
        positions = [f"{position} {name}" for position in ("first", "second") for name in (*names, *COLOURS)]
        #: What a caption states beyond that: the first and second thing in reading order, their colours, and more.
        self.layout_labels = (*positions, "small", "big", "column", "two", "three")

    def encode(self, scenes: Sequence[Scene]) -> Tensor:
        """(B, labels): 1 for each label that a scene shows, else 0."""
        return _mark(self.labels, [{*(item.thing.name for item in s.items), s.place, s.time, s.style} for s in scenes])

    def encode_layout(self, scenes: Sequence[Scene]) -> Tensor:
        """(B, layout_labels): 1 for each label that holds for a scene, else 0."""
        rows = []
        for scene in scenes:
            shown = {scene.items[0].word, "column" if scene.column and scene.kind == "pair" else ""}
            if scene.kind == "alike":
                shown.add("two" if len(scene.items) == 2 else "three")
            for position, item in zip(("first", "second"), scene.items, strict=False):
                if position == "first" or scene.kind == "pair":
                    shown |= {f"{position} {item.thing.name}", f"{position} {item.colour}"}
            rows.append(shown)
        return _mark(self.layout_labels, rows)

    def encode_positions(self, scenes: Sequence[Scene], size: tuple[int, int], height: int, width: int) -> Tensor:
        """The number of the thing at each position (B, height, width) of images of `size`, 0 for none."""
        grids = (thing_grid(scene, size, width, height) for scene in scenes)
        return torch.tensor([[[self.numbers[thing] for thing in row] for row in grid] for grid in grids])


def _mark(labels: Sequence[str], shown: Sequence[set[str]]) -> Tensor:
    return torch.tensor([[float(label in names) for label in labels] for names in shown])
