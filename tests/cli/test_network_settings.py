"""Network settings that libraries cannot use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wuerst_demo.checkpoints.hub import OFFLINE_REASON_VARIABLE
from wuerst_demo.cli.network_settings import CLIENT_VARIABLES, TIMEOUT_VARIABLES, drop_unusable

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The environment of the process, without network settings; restored after each test."""
    names = {"HF_ENDPOINT", "HF_HUB_OFFLINE", OFFLINE_REASON_VARIABLE, *TIMEOUT_VARIABLES}
    for name in names | {each.upper() for each in CLIENT_VARIABLES} | {each.lower() for each in CLIENT_VARIABLES}:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize("proxy", ["socks://127.0.0.1:1", "ftp://127.0.0.1:1"])
@pytest.mark.parametrize("name", ["ALL_PROXY", "https_proxy"])
def test_a_proxy_that_the_http_library_rejects_is_removed_and_the_hub_kept_offline(environment, name, proxy):
    environment.setenv(name, proxy)
    drop_unusable(os.environ)
    assert name not in os.environ
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert name in os.environ[OFFLINE_REASON_VARIABLE]
    assert "127.0.0.1" not in os.environ[OFFLINE_REASON_VARIABLE]


def test_a_certificate_file_that_does_not_exist_is_treated_alike(environment, tmp_path):
    environment.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    drop_unusable(os.environ)
    assert "SSL_CERT_FILE" not in os.environ
    assert "SSL_CERT_FILE" in os.environ[OFFLINE_REASON_VARIABLE]


@pytest.mark.parametrize("endpoint", ["hf-mirror.com", "https://[bad", "https://", "http://a:b", "ftp://a"])
def test_an_endpoint_that_is_no_address_is_removed_and_the_hub_kept_offline(environment, endpoint):
    environment.setenv("HF_ENDPOINT", endpoint)
    drop_unusable(os.environ)
    assert "HF_ENDPOINT" not in os.environ
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert "https://huggingface.co" in os.environ[OFFLINE_REASON_VARIABLE]


@pytest.mark.parametrize("name", TIMEOUT_VARIABLES)
def test_a_timeout_that_is_no_number_is_named_and_the_hub_kept_offline(environment, name):
    environment.setenv(name, "abc")
    drop_unusable(os.environ)
    assert name not in os.environ
    assert os.environ[OFFLINE_REASON_VARIABLE].startswith(f"{name} is no whole number of seconds")


@pytest.mark.parametrize(
    "usable", [{}, {"ALL_PROXY": "http://127.0.0.1:1", "NO_PROXY": "localhost"}, {"HF_ENDPOINT": "http://127.0.0.1:1"}]
)
def test_usable_settings_are_kept(environment, usable):
    for name, value in usable.items():
        environment.setenv(name, value)
    before = dict(os.environ)
    drop_unusable(os.environ)
    assert dict(os.environ) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    ["ALL_PROXY=socks://127.0.0.1:1", "HF_ENDPOINT=https://[bad", "HF_ENDPOINT=mirror", "HF_HUB_ETAG_TIMEOUT=soon"],
)
def test_an_unusable_setting_ends_a_command_with_one_line_or_not_at_all(setting, tmp_path):
    name, _, value = setting.partition("=")
    here = {**os.environ, name: value, "PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path)}
    for words, code, lines in ((["info"], 0, 0), (["info", "--model", "owner/name"], 2, 1)):
        command = [sys.executable, "-m", "wuerst_demo", *words]
        done = subprocess.run(command, env=here, capture_output=True, text=True, check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, lines), done.stderr
    assert name in done.stderr
