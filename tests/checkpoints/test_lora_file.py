"""LoRA files: names, scales, lookup on disk and on the Hub, peft's config."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.hub import COMMIT, FolderHub, served
from tests.fakes.loras import diffusers_2023_keys, peft_keys, write_lora
from wuerst_demo.checkpoints.hub import HuggingFaceHub
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.errors import CheckpointError


@pytest.fixture
def repository(changes, tmp_path) -> Path:
    folder = tmp_path / "repository"
    write_lora(folder / "pixel-art.safetensors", diffusers_2023_keys(changes))
    (folder / "pytorch_lora_weights.bin").write_bytes(b"a pickle")
    write_lora(folder / "checkpoint-500" / "early.safetensors", diffusers_2023_keys(changes))
    return folder


def test_only_the_safetensors_file_of_a_repository_is_fetched(model, repository, tmp_path):
    hub = FolderHub({"owner/style": repository}, tmp_path / "cache")
    (lora,) = resolve_checkpoint(model, loras=["owner/style:0.4"], hub=hub).loras
    assert (lora.name, lora.scale, lora.revision) == ("owner/style/pixel-art.safetensors", 0.4, COMMIT)
    assert hub.fetched == [("owner/style", None, "pixel-art.safetensors")]


def test_one_file_of_one_revision_can_be_named(model, repository, tmp_path):
    hub = FolderHub({"owner/style": repository}, tmp_path / "cache")
    resolve_checkpoint(model, loras=["owner/style/checkpoint-500/early.safetensors@v2:0.4"], hub=hub)
    assert hub.fetched == [("owner/style", "v2", "checkpoint-500/early.safetensors")]


def test_the_peft_config_beside_a_file_is_fetched_and_no_other(model, changes, repository, tmp_path):
    folder = repository / "runs" / "last"
    write_lora(folder / "adapter_model.safetensors", peft_keys(changes, "base_model.model."))
    for place in (folder, folder.parent, repository):
        (place / "adapter_config.json").write_text(json.dumps({"lora_alpha": 2}))
    hub = FolderHub({"owner/style": repository}, tmp_path / "cache")
    resolve_checkpoint(model, loras=["owner/style/runs/last/adapter_model.safetensors"], hub=hub)
    assert [name for *_, name in hub.fetched] == [
        "runs/last/adapter_model.safetensors",
        "runs/last/adapter_config.json",
    ]


def test_one_of_several_files_has_to_be_named(model, repository, tmp_path):
    (repository / "pixel-art.safetensors").rename(repository / "a.safetensors")
    (repository / "b.safetensors").write_bytes((repository / "a.safetensors").read_bytes())
    hub = FolderHub({"owner/style": repository}, tmp_path / "cache")
    with pytest.raises(CheckpointError, match=r"has 2 safetensors files: name one, as in owner/style/a\.safetensors"):
        resolve_checkpoint(model, loras=["owner/style"], hub=hub)
    with pytest.raises(CheckpointError, match=r"has no file c\.safetensors: see its files on"):
        resolve_checkpoint(model, loras=["owner/style/c.safetensors"], hub=hub)
    assert hub.fetched == []


def test_a_lora_fetched_once_works_without_a_network(model, repository, tmp_path):
    with served({"owner/style": repository}) as endpoint:
        first = resolve_checkpoint(model, loras=["owner/style"], hub=HuggingFaceHub(endpoint, tmp_path / "cache"))
    again = resolve_checkpoint(model, loras=["owner/style"], hub=HuggingFaceHub(endpoint, tmp_path / "cache"))
    assert again.loras == first.loras


def test_a_folder_with_one_file_is_accepted(model, repository):
    (lora,) = resolve_checkpoint(model, loras=[f"{repository}:0.5"]).loras
    assert lora.path == repository / "pixel-art.safetensors"


def error_message(model, *loras, hub=None) -> str:
    with pytest.raises(CheckpointError) as caught:
        resolve_checkpoint(model, loras=loras, hub=hub or FolderHub({}, Path("nowhere")))
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.mark.parametrize("scale", ["nan", "inf", "-inf", "1e999", "strong", "0.5x", "", "1001", "1,5"])
def test_an_invalid_scale_is_rejected_before_the_file_is_looked_for(model, scale):
    assert "The scale of a LoRA is a number from -1000 to 1000" in error_message(model, f"missing.safetensors:{scale}")


@pytest.mark.parametrize("name", ["style.bin", "style.pt", "style.ckpt", "style.pth"])
def test_pickles_are_rejected_here_and_on_the_hub(model, tmp_path, name):
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / name).write_bytes(b"a pickle")
    hub = FolderHub({"owner/style": folder}, tmp_path / "cache")
    for text in (str(folder / name), str(folder), "owner/style", f"owner/style/{name}"):
        assert "stored as a pickle, which can run code" in error_message(model, text, hub=hub)
    assert hub.fetched == []


def test_an_incomplete_or_other_file_is_rejected_by_name(model, changes, tmp_path):
    path = Path(write_lora(tmp_path / "style.safetensors", diffusers_2023_keys(changes)))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert "is cut off" in error_message(model, str(path))
    path.write_bytes(whole[:50])
    assert "cut off inside its header" in error_message(model, str(path))
    path.write_bytes(b"PK\x03\x04" + b"a pickle in a zip" * 10)
    assert "not a safetensors file" in error_message(model, str(path))
    path.write_bytes(b"")
    assert str(path) in error_message(model, str(path))


@pytest.mark.parametrize(
    ("text", "says"), [("", "empty"), ("no/such/file.txt", "is not a .safetensors file"), ("a" * 2000, "unreadable")]
)
def test_an_empty_or_unreadable_text_is_rejected(model, text, says):
    assert says in error_message(model, text)


def test_a_missing_file_is_not_looked_for_on_the_hub(model):
    hub = FolderHub({}, Path("nowhere"))
    for text in ("missing.safetensors", "loras/missing.safetensors", "/nowhere/missing.safetensors"):
        assert "There is no LoRA" in error_message(model, text, hub=hub)


def test_more_than_eight_are_rejected(model):
    assert "at most 8" in error_message(model, *["x.safetensors"] * 9)


@pytest.mark.parametrize("scale", ["1000", "-1000", "0.0"])
def test_the_largest_and_smallest_scales_are_accepted(model, changes, tmp_path, scale):
    path = write_lora(tmp_path / "style.safetensors", diffusers_2023_keys(changes))
    (lora,) = resolve_checkpoint(model, loras=[f"{path}:{scale}"]).loras
    assert lora.scale == float(scale)


def test_eight_are_accepted(model, changes, tmp_path):
    path = write_lora(tmp_path / "style.safetensors", diffusers_2023_keys(changes))
    assert len(resolve_checkpoint(model, loras=[path] * 8).loras) == 8


@pytest.mark.parametrize(
    "config",
    [{"lora_alpha": "much"}, {"lora_alpha": float("inf")}, {"lora_alpha": 10**400}, {"alpha_pattern": {"(": 1}}, [1]],
)
def test_an_unreadable_peft_config_is_rejected(model, changes, tmp_path, config):
    path = write_lora(tmp_path / "adapter_model.safetensors", peft_keys(changes, "base_model.model."))
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    assert "unreadable alpha" in error_message(model, path)


def test_a_regular_expression_of_a_stranger_is_rejected_and_never_run(model, changes, tmp_path):
    path = write_lora(tmp_path / "adapter_model.safetensors", peft_keys(changes, "base_model.model."))
    endless = {"alpha_pattern": {"(([a-z0-9._]+)+)+x": 1}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(endless))
    assert "unreadable alpha" in error_message(model, path)


def test_a_file_name_may_end_in_capitals(model, changes, tmp_path):
    path = write_lora(tmp_path / "a" / "STYLE.SAFETENSORS", diffusers_2023_keys(changes))
    for text in (path, f"{path}:0.5", str(tmp_path / "a")):
        assert resolve_checkpoint(model, loras=[text]).loras[0].path == Path(path)


def test_a_file_of_a_hub_repository_may_have_two_hyphens_and_brackets(model, changes, repository, tmp_path):
    write_lora(repository / "my--style [v2].safetensors", diffusers_2023_keys(changes))
    with served({"owner/style": repository}) as endpoint:
        hub = HuggingFaceHub(endpoint, tmp_path / "cache")
        (lora,) = resolve_checkpoint(model, loras=["owner/style/my--style [v2].safetensors"], hub=hub).loras
    assert lora.path.name == "my--style [v2].safetensors"


def test_a_cache_folder_of_the_hub_is_its_snapshot(model, changes, tmp_path):
    cache = tmp_path / "models--owner--style"
    path = write_lora(cache / "snapshots" / COMMIT / "style.safetensors", diffusers_2023_keys(changes))
    assert resolve_checkpoint(model, loras=[str(cache)]).loras[0].path == Path(path)
