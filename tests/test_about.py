"""What `info` says, against what stands in the files and in the table."""

import json
from importlib import metadata

import pytest
from safetensors import safe_open

from wuerst_demo import about
from wuerst_demo.errors import PlacementError
from wuerst_demo.model.known import KNOWN, title_of
from wuerst_demo.model.placement import decide
from wuerst_demo.request import DESCRIPTIONS
from wuerst_demo.settings import Settings


@pytest.fixture(scope="module")
def facts(located):
    return about.facts(located, Settings(device="cpu"))


def test_the_facts_are_json(facts):
    assert json.loads(json.dumps(facts)) == facts


def test_parameters_are_counted_in_the_files_themselves(facts, checkpoint_2023):
    counted = 0
    for path in checkpoint_2023.glob("wuerstchen*/*/*.safetensors"):
        with safe_open(path, "np") as file:
            counted += sum(file.get_tensor(name).size for name in file.keys())  # noqa: SIM118
    checkpoint = facts["checkpoint"]
    assert checkpoint["parameters"] == counted == sum(part["parameters"] for part in checkpoint["parts"])
    assert facts["memory"]["weights_bytes"] == 4 * counted


def test_device_type_and_reason_are_said(facts):
    assert (facts["placement"]["device"], facts["placement"]["dtype"]) == ("cpu", "float32")
    assert "asked for" in facts["placement"]["reason"]
    assert 0 < facts["memory"]["free_bytes"] <= facts["memory"]["total_bytes"]


def test_every_known_checkpoint_has_sizes_defaults_and_examples(facts):
    assert [entry["name"] for entry in facts["known"]] == list(KNOWN)
    for entry in facts["known"]:
        width = entry["settings"]["width"]
        assert width["least"] <= width["default"] <= width["most"]
        assert width["step"] % 128 == 0
        if entry["name"].startswith("warp-ai/"):
            assert (width["least"], entry["settings"]["prior_steps"]["default"]) == (1024, 29)
            assert entry["examples"]


def test_the_text_says_what_the_facts_say(facts):
    text = about.text(facts)
    assert facts["placement"]["reason"] in text
    for name in KNOWN:
        assert name in text
    for name, description in DESCRIPTIONS.items():
        if name not in ("prompt", "negative_prompt"):
            assert description.label in text
    for library, version in facts["versions"].items():
        assert f"{library} {version}" in text


def test_a_device_that_is_not_there_is_refused(located):
    with pytest.raises(PlacementError):
        about.facts(located, Settings(device="cuda:99"))


def test_the_foot_of_the_page_says_how_a_checkpoint_runs(located):
    placement = decide("cpu", "float32")
    said = about.running(located, placement)
    assert (said["Device"], said["Numbers"], said["Attention"]) == ("cpu", "float32", "sdpa")
    assert (said["Offload"], said["Compiled"]) == ("none", "no")
    assert said["Checkpoint"].startswith(title_of(located))
    assert "LoRA" not in said
    for library in ("torch", "diffusers", "gradio"):
        assert said[library] == metadata.version(library)
