"""What the process takes, asked in a process of its own: in this one, other tests' memory comes and goes meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys

HOLDING = """
import json
import numpy as np
from wuerst_demo.model.usage import used
before = used("cpu")
held = np.ones(2**26, np.uint8)
print(json.dumps([before, used("cpu"), held.nbytes]))
"""


def test_what_the_process_takes_grows_with_what_it_holds():
    ended = subprocess.run([sys.executable, "-c", HOLDING], capture_output=True, text=True, check=True, timeout=120)
    before, after, held = json.loads(ended.stdout)
    assert after["process"] - before["process"] > held * 0.9
    assert set(before) == {"process"}
