"""Requests beside the browser's, as patient as that is: a laden machine is no fault of the page's."""

from functools import partial

import httpx

get, post = partial(httpx.get, timeout=60), partial(httpx.post, timeout=60)
