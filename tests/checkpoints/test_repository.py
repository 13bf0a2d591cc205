"""File listing of a folder, and the files that each network needs."""

from __future__ import annotations

import pytest

from tests.fakes.hub import FolderHub
from wuerst_demo.checkpoints.network_config import DECODER, PRIOR, PRIOR_TEXT_ENCODER
from wuerst_demo.checkpoints.repository import RepositoryListing, list_repository
from wuerst_demo.checkpoints.source import Source
from wuerst_demo.errors import CheckpointError

WEIGHTS = "diffusion_pytorch_model"


@pytest.fixture
def hub(tmp_path):
    return FolderHub({}, tmp_path / "cache")


def listing(hub, *names):
    return RepositoryListing(Source("a/b", repository="a/b"), hub, frozenset(names))


def test_a_folder_lists_its_root_and_known_subfolders_only(tmp_path, hub):
    for name in ("README.md", "prior/config.json", "prior/deep/config.json", "other/config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listed = list_repository(Source("mine", tmp_path), hub)
    assert listed.names == {"README.md", "prior/config.json"}
    assert listed.fetch(["README.md", "missing"]) == tmp_path


def test_a_network_has_a_config_and_one_file_or_an_index_with_shards(hub):
    single = (f"decoder/{WEIGHTS}.safetensors", "decoder/config.json")
    assert listing(hub, *single, "config.json").network_files(DECODER, "decoder/") == single[::-1]
    shards = [f"{WEIGHTS}-0000{k}-of-00002.safetensors" for k in (1, 2)]
    index = f"{WEIGHTS}.safetensors.index.json"
    files = listing(hub, "config.json", index, *shards, f"{WEIGHTS}.fp16.safetensors").network_files(PRIOR, "")
    assert files == ("config.json", index, *shards)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), r"has no config\.json for the prior, so it is not a Würstchen checkpoint"),
        (("config.json",), rf"has no {WEIGHTS}\.safetensors for the prior"),
        (("config.json", f"{WEIGHTS}.bin"), "only as pickles, which can run code"),
        (("config.json", f"other/{WEIGHTS}.bin"), rf"has no {WEIGHTS}\.safetensors for the prior"),
    ],
)
def test_missing_or_pickled_weights_are_rejected(names, message, hub):
    with pytest.raises(CheckpointError, match=message):
        listing(hub, *names).network_files(PRIOR, "")


def test_a_text_encoder_has_another_file_name(hub):
    names = ("text_encoder/config.json", "text_encoder/model.safetensors")
    assert listing(hub, *names).network_files(PRIOR_TEXT_ENCODER, "text_encoder/") == names


def test_a_tokenizer_is_one_file_or_vocabulary_and_merges(hub):
    assert listing(hub, "tokenizer/tokenizer.json").tokenizer_files() == ("tokenizer/tokenizer.json",)
    pair = ("tokenizer/vocab.json", "tokenizer/merges.txt")
    assert listing(hub, *pair, "tokenizer/other.txt").tokenizer_files() == pair
    for name in pair:
        with pytest.raises(CheckpointError, match="for its tokenizer"):
            listing(hub, name).tokenizer_files()
