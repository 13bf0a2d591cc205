"""One checkpoint, loaded once, as the stock pipelines run it and as our cascade does. Does not know what is drawn."""

from __future__ import annotations

import diffusers
import transformers

from wuerst_demo.bench.stock import as_published
from wuerst_demo.errors import SettingsError
from wuerst_demo.model.checkpoint import load_parts
from wuerst_demo.model.compiling import compile_networks
from wuerst_demo.model.located import Located
from wuerst_demo.model.parts import Parts
from wuerst_demo.model.placement import decide
from wuerst_demo.model.sparing import spare
from wuerst_demo.settings import Settings


def refuse(settings: Settings) -> None:
    """Raises SettingsError for what cannot be compared, before anything is loaded."""
    if settings.offload not in ("auto", "none"):
        raise SettingsError("The stock pipelines are compared with everything on the device: leave --offload out.")


def both(settings: Settings, located: Located) -> tuple[Parts, Parts]:
    """The stock pipelines' parts and ours, of the same weights. Only ours are compiled where the settings say so.

    Raises what placing and loading raise.
    """
    refuse(settings)
    for library in (diffusers, transformers):
        library.logging.disable_progress_bar()
    parts = load_parts(located, decide(settings.device, settings.dtype, "none", settings.attention, settings.compile))
    published = as_published(parts)
    spare(parts)
    if settings.compile:
        compile_networks(parts)
    return published, parts
