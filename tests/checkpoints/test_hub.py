"""The Hub through huggingface_hub, against a local server."""

from __future__ import annotations

import errno
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from tests.fakes.hub import COMMIT, served
from wuerst_demo.checkpoints.hub import OFFLINE_REASON_VARIABLE, HuggingFaceHub, describe_hub_error
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.errors import CheckpointError

NAME = "warp-ai/wuerstchen"


@pytest.fixture
def repositories(checkpoint_2023):
    return {NAME: checkpoint_2023 / "wuerstchen"}


def test_files_are_listed_and_only_the_requested_ones_are_fetched(repositories, tmp_path):
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
def test_a_cached_snapshot_works_with_an_expired_token(repositories, tmp_path, status):
    with served(repositories) as endpoint:
        hub = HuggingFaceHub(endpoint, tmp_path)
        names = hub.files(NAME, None)
        fetched = hub.fetch(NAME, None, names)
    with served(repositories, {NAME: (status, "")}) as endpoint:
        hub = HuggingFaceHub(endpoint, tmp_path)
        assert set(hub.files(NAME, None)) == set(names)
        assert hub.fetch(NAME, None, names) == fetched


def test_without_network_and_cache_the_remedy_is_named(repositories, tmp_path):
    with served(repositories) as endpoint:
        pass
    with pytest.raises(CheckpointError, match=r"cannot be reached.*needs no network"):
        HuggingFaceHub(endpoint, tmp_path).files(NAME, None)


def test_an_incomplete_snapshot_is_rejected_without_a_network(repositories, tmp_path):
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
        ("old/token", None, "answered 401 for old/token: the token was rejected; .* unset HF_TOKEN"),
    ],
)
def test_each_error_of_the_hub_is_one_line_with_its_remedy(repository, revision, words, repositories, tmp_path):
    errors = {
        "locked/away": (403, "GatedRepo"),
        "not/mine": (401, "RepoNotFound"),
        "in/trouble": (500, ""),
        "old/token": (401, ""),
    }
    with served(repositories, errors) as endpoint:
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
def test_a_full_or_read_only_disk_is_one_line_with_its_remedy(error, words):
    described = describe_hub_error(error, NAME, None)
    assert isinstance(described, CheckpointError)
    assert re.search(words, str(described))
    assert "\n" not in str(described)


def test_a_checkpoint_fetched_once_is_resolved_without_a_network(checkpoint_2023, tmp_path):
    repositories = {NAME: checkpoint_2023 / "wuerstchen", f"{NAME}-prior": checkpoint_2023 / "wuerstchen-prior"}
    with served(repositories) as endpoint:
        first = resolve_checkpoint(NAME, hub=HuggingFaceHub(endpoint, tmp_path))
    again = resolve_checkpoint(NAME, hub=HuggingFaceHub(endpoint, tmp_path))
    assert again == first
    assert (again.revision, again.prior.source.repository) == (COMMIT, f"{NAME}-prior")


def test_the_remedy_for_a_file_damaged_in_the_cache_works(checkpoint_2023, tmp_path):
    repositories = {NAME: checkpoint_2023 / "wuerstchen", f"{NAME}-prior": checkpoint_2023 / "wuerstchen-prior"}
    with served(repositories) as endpoint:
        hub = HuggingFaceHub(endpoint, tmp_path)
        damaged = resolve_checkpoint(NAME, hub=hub).vqgan.weights[0].path
        damaged.write_bytes(damaged.read_bytes()[:-100])
        with pytest.raises(CheckpointError, match=r"is cut off: .* which fetches it anew") as raised:
            resolve_checkpoint(NAME, hub=hub)
        named = re.search(r"delete (\S+) and start again", str(raised.value))
        assert named
        shutil.rmtree(named[1])
        assert resolve_checkpoint(NAME, hub=hub).vqgan.weights[0].path == damaged


# Networks between this machine and the Hub


class _Answers(BaseHTTPRequestHandler):
    """Answers everything in one way: a log-in page, a redirect to one, or a status."""

    how = "log-in page"

    def do_GET(self) -> None:
        if self.how == "redirect" and self.path != "/login":
            self.send_response(302)
            self.send_header("Location", "/login")
            body = b""
        elif self.how in ("log-in page", "redirect"):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            body = b"<!DOCTYPE html><html>Please log in</html>"
        elif self.how == "other JSON":
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            body = b'{"siblings": [{"rfilename": 5}], "sha": null}'
        else:
            self.send_response(int(self.how))
            body = b'{"error": "later"}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def misbehaving_hub(request):
    """Address of a server that answers in the way of the parameter."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"how": request.param}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


WAYS = ["log-in page", "redirect", "other JSON", "401", "403", "429", "503"]


@pytest.mark.parametrize("misbehaving_hub", WAYS, indirect=True)
def test_a_complete_cache_is_used_whatever_answers(checkpoint_2023, misbehaving_hub, tmp_path):
    repositories = {NAME: checkpoint_2023 / "wuerstchen", f"{NAME}-prior": checkpoint_2023 / "wuerstchen-prior"}
    with served(repositories) as endpoint:
        first = resolve_checkpoint(NAME, hub=HuggingFaceHub(endpoint, tmp_path))
    assert resolve_checkpoint(NAME, hub=HuggingFaceHub(misbehaving_hub, tmp_path)) == first


@pytest.mark.parametrize("misbehaving_hub", WAYS, indirect=True)
def test_without_a_cache_whatever_answers_is_one_line_with_a_remedy(misbehaving_hub, tmp_path):
    hub = HuggingFaceHub(misbehaving_hub, tmp_path)
    for call in (lambda: hub.files(NAME, None), lambda: hub.fetch(NAME, None, ["model_index.json"])):
        with pytest.raises(CheckpointError, match=r"Hugging Face Hub.*: |; try again") as raised:
            call()
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ALL_PROXY", "socks://127.0.0.1:1", "HF_ENDPOINT, ALL_PROXY and HTTPS_PROXY"),
        ("ALL_PROXY", "socks5://127.0.0.1:1", "HTTPS_PROXY or HTTP_PROXY to one of http://|cannot be reached"),
        ("ALL_PROXY", "http://127.0.0.1:1", "cannot be reached"),
        ("HTTPS_PROXY", "ftp://x", "HF_ENDPOINT, ALL_PROXY and HTTPS_PROXY"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_one_line(name, value, words, tmp_path, monkeypatch):
    from huggingface_hub import close_session

    monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    close_session()
    with pytest.raises(CheckpointError, match=words) as raised:
        HuggingFaceHub("http://hub.invalid", tmp_path).files(NAME, None)
    close_session()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("endpoint", ["hf-mirror.com", "https://[bad", "ftp://hub.invalid"])
def test_an_endpoint_that_is_no_address_is_one_line(endpoint, tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot be reached|HF_ENDPOINT") as raised:
        HuggingFaceHub(endpoint, tmp_path).files(NAME, None)
    assert "\n" not in str(raised.value)


def test_a_token_that_is_not_ascii_is_one_line(repositories, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_tökén")
    with (
        served(repositories) as endpoint,
        pytest.raises(CheckpointError, match="characters other than ASCII: set HF_TOKEN") as raised,
    ):
        HuggingFaceHub(endpoint, tmp_path).files(NAME, None)
    assert "tök" not in str(raised.value)


def test_a_setting_that_keeps_the_hub_offline_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(OFFLINE_REASON_VARIABLE, "ALL_PROXY cannot be used: give another")
    with pytest.raises(CheckpointError, match="not complete in the cache, and ALL_PROXY cannot be used: give another"):
        HuggingFaceHub("http://127.0.0.1:1", tmp_path).files(NAME, None)


def test_paths_that_lead_out_of_a_repository_are_not_listed(monkeypatch, tmp_path):
    names = ["model_index.json", "../x.safetensors", "a/../../x.safetensors", "/etc/x.safetensors", "C:\\x.safetensors"]
    listed = SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in names])
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: listed)
    assert HuggingFaceHub("http://127.0.0.1:1", tmp_path).files(NAME, None) == ("model_index.json",)


@pytest.fixture
def no_waiting(monkeypatch):
    """huggingface_hub without its waits between attempts."""
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)


def test_a_download_that_breaks_off_is_taken_up_again(repositories, tmp_path, no_waiting):
    broken = set()

    def breaks(path):
        first = path.endswith(".safetensors") and path not in broken
        broken.add(path)
        return first

    with served(repositories, breaks=breaks) as endpoint:
        name = "decoder/diffusion_pytorch_model.safetensors"
        folder = HuggingFaceHub(endpoint, tmp_path).fetch(NAME, None, [name])
    assert (folder / name).read_bytes() == (repositories[NAME] / name).read_bytes()
    assert any(path.endswith(name) for path in broken)
