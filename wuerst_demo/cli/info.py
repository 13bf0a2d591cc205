"""The report of `wuerst info` on placement, memory, checkpoint and versions, as JSON and as text.

Loads no weights. torch is imported to query the device.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from wuerst_demo import __version__
from wuerst_demo.checkpoints.registry import COCKTAIL_NAME, KNOWN_CHECKPOINTS, KnownCheckpoint
from wuerst_demo.devices.memory_estimate import format_bytes
from wuerst_demo.errors import CheckpointError
from wuerst_demo.fields import Number, Text, allowed_values
from wuerst_demo.request import DESCRIPTIONS, Limits

if TYPE_CHECKING:
    from wuerst_demo.checkpoints.manifest import ResolvedCheckpoint
    from wuerst_demo.devices.placement import Placement
    from wuerst_demo.settings import Settings

REPORTED_LIBRARIES = ("torch", "diffusers", "transformers", "compel", "gradio", "accelerate", "safetensors")
OPTION_BY_KIND = {"cascade": "--model", "prior": "--prior", "vqgan": "--vqgan"}
"""Kind of known checkpoint -> its option."""


def collect_info(checkpoint: ResolvedCheckpoint, settings: Settings) -> dict[str, Any]:
    """The report as JSON data. Raises PlacementError for a device that is not available."""
    from wuerst_demo.devices.hardware import LOCAL_HARDWARE
    from wuerst_demo.devices.memory_estimate import estimate_memory
    from wuerst_demo.devices.placement import decide_placement

    needed = estimate_memory(checkpoint)
    placement = decide_placement(settings.placement, lora=bool(settings.lora), estimate=needed)
    device = LOCAL_HARDWARE.memory(placement.device)
    return {
        "program": f"wuerst_demo {__version__}",
        "placement": {
            "device": placement.device,
            "name": device.name,
            "dtype": placement.dtype,
            "backend": placement.backend,
            "attention": placement.attention,
            "offload": placement.offload,
            "compile": placement.compile,
            "reason": placement.reason,
        },
        "memory": {
            "weights_bytes": placement.bytes_for(checkpoint.parameters),
            "needed_bytes": needed.device_bytes(placement.device, placement.offload, placement.dtype),
            "free_bytes": device.free_bytes,
            "total_bytes": device.total_bytes,
        },
        "checkpoint": {
            "name": checkpoint.name,
            "title": checkpoint.info.title,
            "revision": checkpoint.revision,
            "parameters": checkpoint.parameters,
            "stored_bytes": checkpoint.stored_bytes,
            "stored_dtypes": list(checkpoint.stored_dtypes),
            "parts": [
                {
                    "part": part.kind.name,
                    "source": str(part.source),
                    "revision": part.revision,
                    "parameters": part.parameters,
                }
                for part in checkpoint.networks
            ],
            "loras": [
                {
                    "name": lora.name,
                    "source": str(lora.path),
                    "revision": lora.revision,
                    "scale": lora.scale,
                    "weights": len(lora.pairs),
                }
                for lora in checkpoint.loras
            ],
            "settings": _settings_info(checkpoint.info.limits),
            "examples": list(checkpoint.info.examples),
        },
        "known": [_known_checkpoint_info(entry) for entry in KNOWN_CHECKPOINTS.values()],
        "versions": {"python": platform.python_version()}
        | {name: _library_version(name) for name in REPORTED_LIBRARIES},
    }


def checkpoint_line(checkpoint: ResolvedCheckpoint) -> str:
    """Title and revision of a checkpoint."""
    title, revision = checkpoint.info.title, checkpoint.revision
    return f"{title}, {revision[:12]}" if revision else title


def runtime_summary(checkpoint: ResolvedCheckpoint, placement: Placement) -> dict[str, str]:
    """Short summary of a loaded checkpoint, for the page's footer."""
    added = ", ".join(f"{lora.name} at {lora.scale:g}" for lora in checkpoint.loras)
    return {
        "Checkpoint": checkpoint_line(checkpoint),
        **({"LoRA": added} if added else {}),
        "Device": placement.device,
        "Data type": placement.dtype,
        "Backend": placement.backend,
        "Attention": placement.attention,
        "Offload": placement.offload,
        "Compiled": "yes" if placement.compile else "no",
        "wuerst_demo": __version__,
        **{name: _library_version(name) for name in ("torch", "diffusers", "gradio")},
    }


def _settings_info(limits: Limits) -> dict[str, dict[str, Any]]:
    """Allowed values and default of every field."""
    return {
        name: {"default": None if isinstance(each, Text) else each.default, "admits": allowed_values(each)}
        | ({"least": each.least, "most": each.most, "step": each.step} if isinstance(each, Number) else {})
        for name, each in limits.descriptions.items()
    }


def _known_checkpoint_info(entry: KnownCheckpoint) -> dict[str, Any]:
    """A known checkpoint; limits and examples of the shipped one are read from its files."""
    title, limits, examples = entry.title, entry.limits, entry.examples
    if entry.name == COCKTAIL_NAME:
        from wuerst_demo.checkpoints.resolve import resolve_checkpoint

        try:
            shipped = resolve_checkpoint(None)
            limits, examples = shipped.info.limits, shipped.info.examples
        except CheckpointError as error:
            title = f"{title}. Not usable: {error}"
    return {
        "name": entry.name,
        "kind": entry.kind,
        "title": title,
        "prior": entry.prior,
        "settings": _settings_info(limits),
        "examples": list(examples),
    }


def _library_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def format_info(facts: Mapping[str, Any]) -> str:
    """The report as text."""
    placement, memory, checkpoint = facts["placement"], facts["memory"], facts["checkpoint"]
    revision = f", revision {checkpoint['revision']}" if checkpoint["revision"] else ""
    lines = [
        facts["program"],
        f"  {placement['reason']}",
        f"  The weights take {format_bytes(memory['weights_bytes'])}, generating a picture"
        f" {format_bytes(memory['needed_bytes'])} with them;"
        f" {format_bytes(memory['free_bytes'])} of {format_bytes(memory['total_bytes'])} are free.",
        f"  Backend {placement['backend']}, attention {placement['attention']}, offload {placement['offload']},"
        f" {'compiled' if placement['compile'] else 'not compiled'}.",
        f"  {', '.join(f'{name} {version}' for name, version in facts['versions'].items())}",
        "",
        f"{checkpoint['title']} ({checkpoint['name']}{revision})",
        f"  {checkpoint['parameters']:,} parameters,"
        f" {format_bytes(checkpoint['stored_bytes'])} on disk in {' and '.join(checkpoint['stored_dtypes'])}",
        *(f"    {part['part']:<24}{part['parameters']:>13,}  {part['source']}" for part in checkpoint["parts"]),
        *(
            f"    LoRA {lora['name']}, scale {lora['scale']:g}, changes {lora['weights']} of the prior's weights"
            for lora in checkpoint["loras"]
        ),
        "  Settings",
        *(
            f"    {DESCRIPTIONS[name].label:<24}{each['admits']}; default {_format_value(each['default'])}"
            for name, each in checkpoint["settings"].items()
            if not isinstance(DESCRIPTIONS[name], Text)
        ),
        *(["  Example prompts"] if checkpoint["examples"] else []),
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
            f"  {OPTION_BY_KIND[entry['kind']]} {entry['name']}",
            f"    {entry['title']}",
            f"    sizes {entry['settings']['width']['admits']}; by default {size}, {steps}, guidance {guidance}",
            *(f"    {example}" for example in entry["examples"][:1]),
        ]
    return "\n".join(lines) + "\n"


def format_machines(machines: Sequence[Mapping[str, Any]]) -> str:
    """The machines of a cluster as text, as `cluster_probe` describes them."""
    lines = [
        f"{each['machine']:<24}{each['cpus']:>5g} cores{each['gpus']:>5g} GPUs"
        if each["alive"]
        else f"{each['machine']:<24} gone"
        for each in machines
    ]
    gpus = sum(each["gpus"] for each in machines if each["alive"])
    with_cores = sum(each["alive"] and each["cpus"] > 0 for each in machines)
    return "\n".join([*lines, f"--replicas auto starts {gpus or max(1, with_cores):g}."]) + "\n"


def _format_value(value: Any) -> str:
    match value:
        case None:
            return "random"
        case bool():
            return "on" if value else "off"
        case float():
            return f"{value:g}"
        case _:
            return str(value)
