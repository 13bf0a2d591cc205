"""The report of `wuerst info`, compared with the files and the registry."""

import json
import re
from importlib import metadata

import pytest
from safetensors import safe_open

from wuerst_demo.checkpoints.registry import KNOWN_CHECKPOINTS
from wuerst_demo.cli import info
from wuerst_demo.devices.placement import decide_placement
from wuerst_demo.errors import PlacementError
from wuerst_demo.placement_options import PlacementOptions
from wuerst_demo.request import DESCRIPTIONS
from wuerst_demo.settings import Settings


@pytest.fixture(scope="module")
def facts(resolved):
    return info.collect_info(resolved, Settings(device="cpu"))


def test_report_is_json(facts):
    assert json.loads(json.dumps(facts)) == facts


def test_parameter_count_matches_the_files(facts, checkpoint_2023):
    counted = 0
    for path in checkpoint_2023.glob("wuerstchen*/*/*.safetensors"):
        with safe_open(path, "np") as file:
            counted += sum(file.get_tensor(name).size for name in file.keys())  # noqa: SIM118
    checkpoint = facts["checkpoint"]
    assert checkpoint["parameters"] == counted == sum(part["parameters"] for part in checkpoint["parts"])
    assert facts["memory"]["weights_bytes"] == 4 * counted


def test_device_dtype_and_reason_are_reported(facts):
    assert (facts["placement"]["device"], facts["placement"]["dtype"]) == ("cpu", "float32")
    assert "requested" in facts["placement"]["reason"]
    assert 0 < facts["memory"]["free_bytes"] <= facts["memory"]["total_bytes"]


def test_every_known_checkpoint_has_sizes_defaults_and_examples(facts):
    assert [entry["name"] for entry in facts["known"]] == list(KNOWN_CHECKPOINTS)
    for entry in facts["known"]:
        width = entry["settings"]["width"]
        assert width["least"] <= width["default"] <= width["most"]
        assert width["step"] % 128 == 0
        if entry["name"].startswith("warp-ai/"):
            assert (width["least"], entry["settings"]["prior_steps"]["default"]) == (1024, 29)
            assert entry["examples"]


def test_text_has_the_same_content_as_the_json(facts):
    text = info.format_info(facts)
    assert re.search(r"Prompt weighting +on or off; default on\n", text)
    assert re.search(r"Seed +0 to 4294967295; default random\n", text)
    assert facts["placement"]["reason"] in text
    for name in KNOWN_CHECKPOINTS:
        assert name in text
    for name, description in DESCRIPTIONS.items():
        if name not in ("prompt", "negative_prompt"):
            assert description.label in text
    for library, version in facts["versions"].items():
        assert f"{library} {version}" in text


def test_missing_device_is_rejected(resolved):
    with pytest.raises(PlacementError):
        info.collect_info(resolved, Settings(device="cuda:99"))


def test_runtime_summary_describes_a_loaded_checkpoint(resolved):
    placement = decide_placement(PlacementOptions("cpu", "float32"))
    summary = info.runtime_summary(resolved, placement)
    assert (summary["Device"], summary["Data type"], summary["Attention"]) == ("cpu", "float32", "sdpa")
    assert (summary["Offload"], summary["Compiled"], summary["Backend"]) == ("none", "no", "torch")
    assert summary["Checkpoint"].startswith(resolved.info.title)
    assert "LoRA" not in summary
    for library in ("torch", "diffusers", "gradio"):
        assert summary[library] == metadata.version(library)
