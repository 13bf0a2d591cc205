"""The editor of a region to redraw, and the request that follows from what was painted."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.web import EMBEDDINGS, LIMITS
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.redraw_mask import decode_mask
from wuerst_demo.web.generate.region import region_values, render_region
from wuerst_demo.web.shared.generation import FinishedImage

REQUEST = LIMITS.request({"prompt": "a cat", "seed": 7})
IMAGES = tuple(
    FinishedImage(k, Path("gone.png"), replace(REQUEST, seed=7 + k), image_embeddings=EMBEDDINGS) for k in (1, 3)
)
CELLS = "110000" + 30 * "0"


def test_the_editor_has_a_cell_for_each_position_of_the_composition():
    html = render_region(IMAGES[0])
    assert dict(re.findall(r'data-(rows|columns|image)="(\d+)"', html)) == {"rows": "6", "columns": "6", "image": "1"}
    assert render_region(replace(IMAGES[0], image_embeddings="")) == ""


def test_the_painted_cells_of_the_named_image_are_redrawn():
    values = region_values(IMAGES, {"image": 3, "cells": CELLS})
    assert values["variation"]["image_embeddings"] == EMBEDDINGS
    mask = decode_mask(values["variation"]["mask"], (6, 6))
    assert [*zip(*np.nonzero(mask), strict=True)] == [(0, 0), (0, 1)]
    assert "prompt" not in values


@pytest.mark.parametrize(
    "painted",
    [
        None,
        7,
        {},
        {"image": 0, "cells": CELLS},
        {"image": 1},
        {"image": "1", "cells": CELLS},
        {"image": True, "cells": CELLS},
    ],
)
def test_an_image_that_is_gone_or_none_is_named(painted):
    with pytest.raises(InvalidRequest, match="not there any more"):
        region_values(IMAGES, painted)


@pytest.mark.parametrize("cells", ["", "11", CELLS + "0", CELLS[:-1] + "2"])
def test_cells_that_are_not_the_grid_are_rejected(cells):
    with pytest.raises(InvalidRequest, match="mask is damaged"):
        region_values(IMAGES, {"image": 1, "cells": cells})


@pytest.mark.parametrize(("cells", "said"), [("0", "covers nothing"), ("1", "covers everything")])
def test_a_mask_of_nothing_or_everything_says_so(cells, said):
    with pytest.raises(InvalidRequest, match=said):
        region_values(IMAGES, {"image": 1, "cells": 36 * cells})
