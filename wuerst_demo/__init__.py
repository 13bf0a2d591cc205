"""A demo of Würstchen (Pernias, Rampas, Aubreville and others, ICLR 2024): text to image in a 42x compressed space.

    from wuerst_demo import load

    wuerstchen = load()
    (result,) = wuerstchen.generate(wuerstchen.request(prompt="a red circle", seed=7))
    result.image.save("circle.png")

The public names below are imported on first use, so that importing the package is cheap and imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wuerst_demo.api import Wuerstchen, load
    from wuerst_demo.errors import (
        Cancelled,
        CheckpointError,
        InvalidRequest,
        PlacementError,
        PromptError,
        SetupError,
        UserError,
        WuerstError,
    )
    from wuerst_demo.events import Done, Event, Progress, Queued, Result
    from wuerst_demo.request import Limits, Request

__version__ = "0.2.0"

__all__ = [
    "Cancelled",
    "CheckpointError",
    "Done",
    "Event",
    "InvalidRequest",
    "Limits",
    "PlacementError",
    "Progress",
    "PromptError",
    "Queued",
    "Request",
    "Result",
    "SetupError",
    "UserError",
    "WuerstError",
    "Wuerstchen",
    "load",
]

_MODULES = {
    **dict.fromkeys(("Wuerstchen", "load"), "api"),
    **dict.fromkeys(("Done", "Event", "Progress", "Queued", "Result"), "events"),
    **dict.fromkeys(("Limits", "Request"), "request"),
}
"""Public name -> its module; the others are errors."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'wuerst_demo' has no attribute '{name}'")
    return getattr(import_module(f"wuerst_demo.{_MODULES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
