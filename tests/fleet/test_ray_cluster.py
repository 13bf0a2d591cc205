"""What is decided before Ray is asked for anything: counts, threads, and rejected options, each one line."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from wuerst_demo.errors import SettingsError
from wuerst_demo.fleet import cluster_probe, ray_cluster
from wuerst_demo.fleet.ray_cluster import FleetOptions


def test_an_address_where_nothing_answers_is_one_line():
    with pytest.raises(SettingsError, match="nothing answers there; start Ray with `ray start --head"):
        cluster_probe.probe_cluster("127.0.0.1:9")


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_an_address_that_is_no_ray_is_one_line(greeting):
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as apart:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.sendall(greeting)

        answered = apart.submit(answer)
        with pytest.raises(SettingsError, match=r"what answers there is no Ray: give the address of `ray start --head"):
            cluster_probe.probe_cluster(f"127.0.0.1:{server.getsockname()[1]}")
        answered.result()


def test_a_cluster_without_a_secret_is_rejected():
    with pytest.raises(SettingsError, match="set RAY_AUTH_MODE=token"):
        ray_cluster.connect(FleetOptions(None, "192.0.2.1:6379"), {})


def test_without_ray_the_flags_say_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="pip install"):
        ray_cluster.connect(FleetOptions(2), {})


def test_a_ray_of_its_own_has_a_secret_and_no_dashboard_and_its_logs_are_shown(monkeypatch):
    started = []
    resources = {"CPU": 8.0, "memory": 2.0**35}
    ray = {"init": lambda **options: started.append(options), "cluster_resources": lambda: resources}
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(**ray, nodes=lambda: [{"Alive": True}]))
    for name in ("check_installed", "start_reaper"):
        monkeypatch.setattr(ray_cluster, name, lambda: None)
    environments = {}, {}
    for env in environments:
        ray_cluster.connect(FleetOptions(2), env)
    for env, options in zip(environments, started, strict=True):
        assert env["RAY_AUTH_MODE"] == "token"
        assert env["RAY_USAGE_STATS_ENABLED"] == "0"
        assert (options["address"], options["include_dashboard"], options["log_to_driver"]) == ("local", False, True)
        assert options["num_cpus"] >= 2
    assert len(bytes.fromhex(environments[0]["RAY_AUTH_TOKEN"])) == 32
    assert environments[0]["RAY_AUTH_TOKEN"] != environments[1]["RAY_AUTH_TOKEN"]


@pytest.mark.parametrize(
    ("device", "replicas", "line"),
    [("cuda", None, "sees no CUDA GPU"), ("auto", 3, "needs as many GPUs, and there are 2"), ("auto", 2, "")],
)
def test_more_replicas_than_gpus_are_rejected(device, replicas, line):
    launcher = ray_cluster.RayLauncher(FleetOptions(replicas, device=device))
    launcher._counted_at = float("inf")
    launcher._resources = {"CPU": 8.0} | ({} if device == "cuda" else {"GPU": 2.0})
    with pytest.raises(SettingsError, match=line) if line else contextlib.nullcontext():
        launcher.check_count()


@pytest.mark.parametrize(
    ("options", "resources", "nodes", "wanted", "threads"),
    [
        (FleetOptions(None), {"CPU": 16.0, "GPU": 4.0}, 1, 4, 4),
        (FleetOptions(None, device="cpu"), {"CPU": 16.0, "GPU": 4.0}, 1, 4, 4),
        (FleetOptions(None), {"CPU": 2.0}, 1, 1, 2),
        (FleetOptions(None, "192.0.2.1:6379"), {"CPU": 48.0}, 3, 3, 16),
        (FleetOptions(7), {"CPU": 2.0}, 1, 7, 1),
        (FleetOptions(2), {"CPU": 64.0}, 1, 2, 8),  # more than the 16 there are: Ray was started for 64 replicas
    ],
)
def test_auto_counts_gpus_or_cores_and_the_cores_are_shared(options, resources, nodes, wanted, threads, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    launcher = ray_cluster.RayLauncher(options)
    launcher._counted_at, launcher._resources, launcher._nodes = float("inf"), resources, nodes
    assert (launcher.wanted(), launcher._threads()) == (wanted, threads)


def test_a_replicas_cores_are_those_of_a_machine_when_others_have_joined(monkeypatch):
    machines = [{"Alive": True}]
    ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 16.0 * len(machines)}, nodes=lambda: machines)
    monkeypatch.setitem(sys.modules, "ray", ray)
    launcher = ray_cluster.RayLauncher(FleetOptions(2, "192.0.2.1:6379"))
    assert launcher._threads() == 8
    machines += [{"Alive": True}] * 2
    launcher._counted_at = float("-inf")
    assert launcher._threads() == 16


VERSIONS = """RuntimeError: Version mismatch: The cluster was started with:
    Ray: 2.61.0
    Python: 3.12.1
This process on node 192.0.2.1 was started with:
    Ray: 2.60.0
    Python: 3.11.7
"""


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (VERSIONS, "the cluster has Ray 2.61.0 with Python 3.12.1, and this machine 2.60.0 with Python 3.11.7"),
        ("Unauthenticated: RPC error: InvalidAuthToken", "the same RAY_AUTH_TOKEN"),
        ("something else", "Ray cannot connect"),
    ],
)
def test_what_ray_says_becomes_one_line(said, line):
    assert line in cluster_probe._explain(said)


def test_a_replica_that_does_not_take_commands_goes_with_the_reason(caplog, monkeypatch):
    ray, killed = pytest.importorskip("ray"), []
    monkeypatch.setattr(ray, "kill", killed.append)  # which would start a Ray in this process

    def follow(commands):
        raise ValueError("a prompt")

    process = ray_cluster.RayProcess()
    process._actor = SimpleNamespace(follow=SimpleNamespace(remote=follow))
    process.send(b"a job")
    process._send()
    assert (process.killed, killed) == (True, [process._actor])
    assert process.failure == "it failed with ValueError (see the log)"
    assert "A replica has failed." in caplog.messages
