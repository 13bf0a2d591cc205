from __future__ import annotations

import numpy as np

from wuerst_demo.model.usage import used


def test_what_the_process_takes_grows_with_what_it_holds():
    before = used("cpu")
    held = np.ones(2**26, np.uint8)
    assert used("cpu")["process"] - before["process"] > held.nbytes * 0.9
    assert set(before) == {"process"}
