"""Options of Gradio events that several tabs use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PRIVATE_EVENT: Final[Mapping[str, Any]] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "show_progress_on": (),
    "preprocess": False,
}
"""Options of the page's own events: not part of the API, and values as the browser sent them, which handlers check.

Without `show_progress_on`, Gradio's page would take all outputs, and tell each of them, whenever any event begins, goes
on or ends, how that stands: half of what the browser computes while somebody types.
"""
IMMEDIATE_EVENT: Final[Mapping[str, Any]] = {**PRIVATE_EVENT, "queue": False}
"""As PRIVATE_EVENT, for handlers that answer at once and need not wait for others."""
IDENTIFY_CLIENT_JS = "(...inputs) => window.wuerstIdentify(...inputs)"
"""Script of events whose first inputs are `GenerateTab.client_inputs`: the browser fills them in. The function
is in client_identity.js, once for all events."""
MAX_CONCURRENT_REATTACHMENTS = 32
"""Pages that follow, at the same time, a job they have re-attached to."""
REATTACH_EVENT: Final[Mapping[str, Any]] = {
    **PRIVATE_EVENT,
    "js": IDENTIFY_CLIENT_JS,
    "concurrency_limit": MAX_CONCURRENT_REATTACHMENTS,
}
"""As PRIVATE_EVENT, for handlers that re-attach a loaded page to the job of its tab."""
Updates = dict[Any, Any]
"""What a handler returns or yields: new values or properties, by component."""
