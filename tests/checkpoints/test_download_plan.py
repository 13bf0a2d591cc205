"""The two rounds of a download, and validation of small files and weight indexes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.fakes.hub import COMMIT, FolderHub
from wuerst_demo.checkpoints.download_plan import DownloadPlan, read_json
from wuerst_demo.checkpoints.network_config import PRIOR
from wuerst_demo.checkpoints.repository import list_repository
from wuerst_demo.checkpoints.source import Source
from wuerst_demo.errors import CheckpointError

WEIGHTS = "diffusion_pytorch_model"
SHARDS = [f"{WEIGHTS}-0000{k}-of-00002.safetensors" for k in (1, 2)]


@pytest.fixture
def folder(tmp_path):
    """A bare prior with a config, an index and two shards of one tensor each."""
    folder = tmp_path / "prior"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"_class_name": "WuerstchenPrior", "depth": 2}))
    for name, shard in zip("ab", SHARDS, strict=True):
        save_file({name: np.ones(3, np.float32)}, folder / shard)
    write_index(folder, dict(zip("ab", SHARDS, strict=True)))
    return folder


def write_index(folder, weight_map):
    (folder / f"{WEIGHTS}.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def plan_for(source, hub):
    plan = DownloadPlan()
    plan.add_network(PRIOR, list_repository(source, hub), "")
    return plan


def test_configs_are_fetched_first_and_each_round_only_once(folder, tmp_path):
    hub = FolderHub({"a/prior": folder}, tmp_path / "cache")
    plan = plan_for(Source("a/prior", repository="a/prior"), hub)
    config = plan.read_config(PRIOR)
    assert config["depth"] == 2
    assert {name for _, _, name in hub.fetched} == {"config.json", f"{WEIGHTS}.safetensors.index.json"}
    files = plan.verify_network(PRIOR, config)
    assert plan.verify_network(PRIOR, plan.read_config(PRIOR)) == files
    assert hub.fetch_count == 2
    assert (files.revision, files.parameters) == (COMMIT, 6)


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": SHARDS[0], "b": SHARDS[0]}, "lists 'b' in .* which lacks it"),
        ({"a": SHARDS[0], "b": "../outside.safetensors"}, "which lacks it"),
        ({"a": SHARDS[0]}, "does not list all tensors of its shards"),
        ([], "has no weight_map"),
    ],
)
def test_an_index_lists_exactly_the_tensors_of_its_shards(weight_map, message, folder, tmp_path):
    write_index(folder, weight_map)
    plan = plan_for(Source("prior", folder), FolderHub({}, tmp_path))
    with pytest.raises(CheckpointError, match=message):
        plan.verify_network(PRIOR, plan.read_config(PRIOR))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not valid JSON"),
        (b'{"\xff": 1}', "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b"[]", "is not a JSON object"),
    ],
)
def test_a_file_that_is_not_a_json_object_is_rejected(content, message, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_json(tmp_path, "a.json")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_json(tmp_path, "missing.json")
