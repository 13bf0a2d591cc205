"""A cluster that `ray start` has started: how it is joined, what is rejected, and the loss of its head, which the page
outlives. `test_ray_actors` runs them."""

from __future__ import annotations

import importlib.util
import os
import secrets
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.engine.clients import eventually, make_request, results
from tests.fakes.cascade import painted
from tests.fakes.server import free_port
from tests.fleet import ray_replicas
from wuerst_demo.errors import QueueFull, SettingsError
from wuerst_demo.events import Moved
from wuerst_demo.fleet import cluster_probe
from wuerst_demo.fleet.driver_launcher import start_driver
from wuerst_demo.fleet.ray_cluster import FleetOptions
from wuerst_demo.fleet.readiness import NO_REPLICA_MESSAGE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `ray` is not installed"),
]
SECRET = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_gcs_rpc_server_reconnect_timeout_s": "3"}
CHANGED_PYTHON = """#!{python}
import runpy, sys
import ray
from ray._private import services
{change}
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""A Python with another Ray."""


class Head:
    """The head of a cluster, which may be lost and started again at its address."""

    def __init__(self):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.started = None
        self.processes = []

    def start(self, secret):
        options = ["--head", f"--port={self.port}", "--num-cpus=2", "--include-dashboard=false", "--block"]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *options]
        self.started = subprocess.Popen(
            command,
            env={**os.environ, **SETTINGS, **secret},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said = []
        for line in self.started.stdout:
            said.append(line)
            if "Ray runtime started" in line:
                break
        else:
            raise AssertionError("".join(said))
        process = psutil.Process(self.started.pid)
        self.processes = [process, *process.children(recursive=True)]

    def lose(self):
        for process in self.processes:
            if process.is_running():
                process.kill()
        self.started.wait()
        self.started.stdout.close()
        psutil.wait_procs(self.processes, 30)


@pytest.fixture(scope="module")
def head():
    head = Head()
    head.start(SECRET)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SETTINGS, **SECRET}.items():
            patch.setenv(name, value)
        yield head
    head.lose()


def info(head, **environment):
    command = [sys.executable, "-m", "wuerst_demo", "info", "--ray", head.address]
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_info_shows_the_machines(head):
    shown = info(head)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "2 cores    0 GPUs" in shown.stdout
    assert shown.stdout.endswith("--replicas auto starts 1.\n")


@pytest.mark.parametrize(
    ("environment", "remedy"),
    [
        ({"RAY_AUTH_TOKEN": "f" * 64}, "another secret: give both the same RAY_AUTH_TOKEN."),
        ({"RAY_AUTH_MODE": "disabled"}, "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN on each"),
    ],
)
def test_a_wrong_secret_is_one_line_with_the_remedy(head, environment, remedy):
    shown = info(head, **environment)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.count("\n") == 1
    assert remedy in shown.stderr


def test_a_page_with_a_wrong_secret_does_not_open(head, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    with pytest.raises(SettingsError, match="another secret: give both"):
        start_driver(FleetOptions(1, head.address, "cpu"))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ('ray.__version__ = "2.61.0"', r"this machine 2\.61\.0 with Python .*: install the same on both\."),
        ("services.find_node_ids = set", "no part of the cluster: run `ray start --address {address}` here, too"),
    ],
)
def test_another_version_of_ray_or_none_here_is_one_line(head, tmp_path, monkeypatch, change, line):
    monkeypatch.setattr(cluster_probe, "MAX_NODE_SEARCH_S", 5)
    python = tmp_path / "python"
    python.write_text(CHANGED_PYTHON.format(python=sys.executable, change=change))
    python.chmod(0o755)
    with pytest.raises(SettingsError, match=line.format(address=head.address)):
        cluster_probe.probe_cluster(head.address, str(python))


def test_a_fleet_outlives_the_head_and_goes_on_when_it_is_back(head):
    launcher = start_driver(FleetOptions(1, head.address, "cpu"))
    fleet, supervisor = ray_replicas.supervise(launcher, ray_replicas.Simulated(0.2))
    try:
        assert supervisor.wait_ready() == ""
        request = make_request(images=2, prior_steps=100)
        ticket = fleet.submit(request, "ann")
        eventually(lambda: fleet.stage_counts["prior"] == 2)
        head.lose()
        eventually(fleet.problem, 60)
        with pytest.raises(QueueFull) as busy:
            fleet.submit(make_request(), "ben")
        assert str(busy.value) == NO_REPLICA_MESSAGE
        eventually(lambda: "nothing answers there" in fleet.problem(), 60)
        head.start(SECRET)
        events = list(ticket)
        assert {event.index for event in events if isinstance(event, Moved)} == {0, 1}
        found = sorted(results(events), key=lambda result: result.index)
        assert [each.image.tobytes() for each in found] == [painted(request.image(k)).tobytes() for k in range(2)]
    finally:
        supervisor.close()


def test_a_cluster_that_lets_anybody_in_is_rejected(head):
    head.lose()
    head.start({"RAY_AUTH_MODE": "disabled"})
    shown = info(head)
    assert shown.returncode == 2
    assert "the cluster lets anybody run programs: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN there" in shown.stderr
