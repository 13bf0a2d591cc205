"""The Hub through its own client, against a small server of ours: no network is needed, or used."""

from __future__ import annotations

import errno
import re
import shutil

import pytest

from tests.model.fakes import COMMIT, served
from wuerst_demo.errors import CheckpointError
from wuerst_demo.model.files import locate
from wuerst_demo.model.hub import HuggingFaceHub, explain

NAME = "warp-ai/wuerstchen"


@pytest.fixture
def repositories(checkpoint_2023):
    return {NAME: checkpoint_2023 / "wuerstchen"}


def test_files_are_listed_and_only_those_asked_for_are_fetched(repositories, tmp_path):
    with served(repositories) as endpoint:
        hub = HuggingFaceHub(endpoint, tmp_path)
        assert "decoder/diffusion_pytorch_model.safetensors" in hub.files(NAME, None)
        folder = hub.fetch(NAME, None, ["model_index.json", "decoder/config.json"])
    assert folder.name == COMMIT
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"model_index.json", "config.json"}
    assert (folder / "decoder/config.json").read_bytes() == (repositories[NAME] / "decoder/config.json").read_bytes()


def test_a_cached_snapshot_works_without_a_network(repositories, tmp_path):
    with served(repositories) as endpoint:
        hub = HuggingFaceHub(endpoint, tmp_path)
        names = hub.files(NAME, "v2")
        fetched = hub.fetch(NAME, "v2", names)
    assert set(hub.files(NAME, "v2")) == set(names)
    assert hub.fetch(NAME, "v2", names) == fetched


@pytest.mark.parametrize("status", [401, 403, 429])
def test_a_cached_snapshot_works_with_a_token_that_has_expired(repositories, tmp_path, status):
    with served(repositories) as endpoint:
        hub = HuggingFaceHub(endpoint, tmp_path)
        names = hub.files(NAME, None)
        fetched = hub.fetch(NAME, None, names)
    with served(repositories, {NAME: (status, "")}) as endpoint:
        hub = HuggingFaceHub(endpoint, tmp_path)
        assert set(hub.files(NAME, None)) == set(names)
        assert hub.fetch(NAME, None, names) == fetched


def test_without_a_network_and_a_cache_the_remedy_is_named(repositories, tmp_path):
    with served(repositories) as endpoint:
        pass
    with pytest.raises(CheckpointError, match=r"cannot be reached.*needs no network"):
        HuggingFaceHub(endpoint, tmp_path).files(NAME, None)


def test_half_a_cached_snapshot_is_refused_without_a_network(repositories, tmp_path):
    with served(repositories) as endpoint:
        hub = HuggingFaceHub(endpoint, tmp_path)
        hub.fetch(NAME, None, ["model_index.json"])
    with pytest.raises(CheckpointError, match="cannot be reached"):
        hub.fetch(NAME, None, ["model_index.json", "decoder/config.json"])


@pytest.mark.parametrize(
    ("repository", "revision", "words"),
    [
        ("warp-ai/wurstchen", None, "There is no warp-ai/wurstchen .*did you mean warp-ai/wuerstchen"),
        (NAME, "v3", "has no revision 'v3'"),
        ("locked/away", None, "locked/away is gated: accept its terms"),
        ("not/mine", None, "or it is private.*hf auth login"),
        ("in/trouble", None, "answered 500 for in/trouble; try again"),
        ("old/token", None, "answered 401 for old/token: it refuses the token .* take HF_TOKEN away"),
    ],
)
def test_each_refusal_of_the_hub_is_one_line_with_its_remedy(repository, revision, words, repositories, tmp_path):
    refused = {
        "locked/away": (403, "GatedRepo"),
        "not/mine": (401, "RepoNotFound"),
        "in/trouble": (500, ""),
        "old/token": (401, ""),
    }
    with served(repositories, refused) as endpoint:
        hub = HuggingFaceHub(endpoint, tmp_path)
        with pytest.raises(CheckpointError, match=words) as raised:
            hub.files(repository, revision)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full .* HF_HOME"),
        (RuntimeError("transfer failed: No space left on device (os error 28)"), "disk is full .* HF_HOME"),
        (PermissionError(errno.EACCES, "Permission denied", "/cache"), "cannot be written .* HF_HOME"),
    ],
)
def test_a_full_or_closed_disk_is_one_line_with_its_remedy(error, words):
    explained = explain(error, NAME, None)
    assert isinstance(explained, CheckpointError)
    assert re.search(words, str(explained))
    assert "\n" not in str(explained)


def test_a_checkpoint_fetched_once_is_located_without_a_network(checkpoint_2023, tmp_path):
    repositories = {NAME: checkpoint_2023 / "wuerstchen", f"{NAME}-prior": checkpoint_2023 / "wuerstchen-prior"}
    with served(repositories) as endpoint:
        first = locate(NAME, hub=HuggingFaceHub(endpoint, tmp_path))
    again = locate(NAME, hub=HuggingFaceHub(endpoint, tmp_path))
    assert again == first
    assert (again.revision, again.prior.source.repository) == (COMMIT, f"{NAME}-prior")


def test_the_remedy_for_a_file_damaged_in_the_cache_mends_it(checkpoint_2023, tmp_path):
    repositories = {NAME: checkpoint_2023 / "wuerstchen", f"{NAME}-prior": checkpoint_2023 / "wuerstchen-prior"}
    with served(repositories) as endpoint:
        hub = HuggingFaceHub(endpoint, tmp_path)
        damaged = locate(NAME, hub=hub).vqgan.weights[0].path
        damaged.write_bytes(damaged.read_bytes()[:-100])
        with pytest.raises(CheckpointError, match=r"is cut off: .* which fetches it anew") as raised:
            locate(NAME, hub=hub)
        named = re.search(r"delete (\S+) and start again", str(raised.value))
        assert named
        shutil.rmtree(named[1])
        assert locate(NAME, hub=hub).vqgan.weights[0].path == damaged
