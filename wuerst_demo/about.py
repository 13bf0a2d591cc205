"""What would run where, for `info`: a dictionary that JSON takes, and the same as text.

Reads no weights, and draws nothing. torch is imported when the device is asked for, not before.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from wuerst_demo import __version__
from wuerst_demo.errors import CheckpointError
from wuerst_demo.model import known
from wuerst_demo.request import DESCRIPTIONS, Limits, Number, Text, admits

if TYPE_CHECKING:
    from wuerst_demo.model.files import Located
    from wuerst_demo.model.placement import Placement
    from wuerst_demo.settings import Settings

LIBRARIES = ("torch", "diffusers", "transformers", "compel", "gradio", "accelerate", "safetensors")
GIVEN = {"cascade": "--model", "prior": "--prior", "vqgan": "--vqgan"}
"""Kind of known checkpoint -> the option it is given with."""


def facts(located: Located, settings: Settings) -> dict[str, Any]:
    """Everything `info` says. Raises PlacementError for a device that is not to be had."""
    from wuerst_demo.model.machine import memory
    from wuerst_demo.model.needs import needs
    from wuerst_demo.model.placement import decide

    needed = needs(located)
    placement = decide(**settings.placement, lora=bool(settings.lora), needs=needed)
    device = memory(placement.device)
    return {
        "program": f"wuerst_demo {__version__}",
        "placement": {
            "device": placement.device,
            "name": device.name,
            "dtype": placement.dtype,
            "attention": placement.attention,
            "offload": placement.offload,
            "compile": placement.compile,
            "reason": placement.reason,
        },
        "memory": {
            "weights_bytes": placement.bytes_for(located.parameters),
            "needed_bytes": needed.bytes(placement.device, placement.offload, placement.dtype),
            "free_bytes": device.free,
            "total_bytes": device.total,
        },
        "checkpoint": {
            "name": located.name,
            "title": known.title_of(located),
            "revision": located.revision,
            "parameters": located.parameters,
            "stored_bytes": located.stored_bytes,
            "stored_dtypes": list(located.stored_dtypes),
            "parts": [
                {
                    "part": part.kind.called,
                    "source": str(part.source),
                    "revision": part.revision,
                    "parameters": part.parameters,
                }
                for part in located.parts
            ],
            "loras": [
                {
                    "name": lora.name,
                    "source": str(lora.path),
                    "revision": lora.revision,
                    "scale": lora.scale,
                    "weights": len(lora.pairs),
                }
                for lora in located.loras
            ],
            "settings": _settings(known.limits_of(located)),
            "examples": list(known.examples_of(located)),
        },
        "known": [_entry(entry) for entry in known.KNOWN.values()],
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in LIBRARIES},
    }


def running(located: Located, placement: Placement) -> dict[str, str]:
    """How a checkpoint runs that has been loaded, in short: for the foot of the page."""
    title, revision = known.title_of(located), located.revision
    added = ", ".join(f"{lora.name} at {lora.scale:g}" for lora in located.loras)
    return {
        "Checkpoint": f"{title}, {revision[:12]}" if revision else title,
        **({"LoRA": added} if added else {}),
        "Device": placement.device,
        "Numbers": placement.dtype,
        "Attention": placement.attention,
        "Offload": placement.offload,
        "Compiled": "yes" if placement.compile else "no",
        "wuerst_demo": __version__,
        **{name: _version(name) for name in ("torch", "diffusers", "gradio")},
    }


def _settings(limits: Limits) -> dict[str, dict[str, Any]]:
    """Field by field, what a checkpoint admits, and the default."""
    return {
        name: {"default": None if isinstance(each, Text) else each.default, "admits": admits(each)}
        | ({"least": each.least, "most": each.most, "step": each.step} if isinstance(each, Number) else {})
        for name, each in limits.descriptions.items()
    }


def _entry(entry: known.Known) -> dict[str, Any]:
    """One known checkpoint. The shipped one speaks for itself, where it is there."""
    title, limits, examples = entry.title, entry.limits, entry.examples
    if entry.name == known.COCKTAIL:
        from wuerst_demo.model.files import locate

        try:
            shipped = locate(None)
            limits, examples = known.limits_of(shipped), known.examples_of(shipped)
        except CheckpointError as error:
            title = f"{title}. Not usable now: {error}"
    return {
        "name": entry.name,
        "kind": entry.kind,
        "title": title,
        "prior": entry.prior,
        "settings": _settings(limits),
        "examples": list(examples),
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def text(facts: Mapping[str, Any]) -> str:
    """The same for people."""
    placement, memory, checkpoint = facts["placement"], facts["memory"], facts["checkpoint"]
    revision = f", revision {checkpoint['revision']}" if checkpoint["revision"] else ""
    lines = [
        facts["program"],
        f"  {placement['reason']}",
        f"  Its weights take {_size(memory['weights_bytes'])}; drawing takes {_size(memory['needed_bytes'])}"
        f" there, weights among them; of {_size(memory['total_bytes'])}, {_size(memory['free_bytes'])} are free.",
        f"  Attention {placement['attention']}, offload {placement['offload']},"
        f" {'compiled' if placement['compile'] else 'not compiled'}.",
        f"  {', '.join(f'{name} {version}' for name, version in facts['versions'].items())}",
        "",
        f"{checkpoint['title']} ({checkpoint['name']}{revision})",
        f"  {checkpoint['parameters']:,} parameters,"
        f" {_size(checkpoint['stored_bytes'])} on disk in {' and '.join(checkpoint['stored_dtypes'])}",
        *(f"    {part['part']:<24}{part['parameters']:>13,}  {part['source']}" for part in checkpoint["parts"]),
        *(
            f"    LoRA {lora['name']}, scale {lora['scale']:g}, changes {lora['weights']} of the prior's weights"
            for lora in checkpoint["loras"]
        ),
        "  takes",
        *(
            f"    {DESCRIPTIONS[name].label:<24}{each['admits']}; default {_plain(each['default'])}"
            for name, each in checkpoint["settings"].items()
            if not isinstance(DESCRIPTIONS[name], Text)
        ),
        *(["  and draws, for example"] if checkpoint["examples"] else []),
        *(f"    {example}" for example in checkpoint["examples"]),
        "",
        "Known checkpoints",
    ]
    for entry in facts["known"]:
        settings = {name: each["default"] for name, each in entry["settings"].items()}
        size = f"{settings['width']} x {settings['height']}"
        steps = f"{settings['prior_steps']} and {settings['decoder_steps']} steps"
        guidance = f"{settings['prior_guidance']:g} and {settings['decoder_guidance']:g}"
        lines += [
            f"  {GIVEN[entry['kind']]} {entry['name']}",
            f"    {entry['title']}",
            f"    sizes {entry['settings']['width']['admits']}; by default {size}, {steps}, guidance {guidance}",
            *(f"    {example}" for example in entry["examples"][:1]),
        ]
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> str:
    match value:
        case None:
            return "random"
        case bool():
            return "on" if value else "off"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _size(count: int) -> str:
    """Bytes for people: 61 MB, 12.4 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
