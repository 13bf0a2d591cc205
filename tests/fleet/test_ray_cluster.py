"""What is decided before Ray is asked for anything: counts, threads, and rejected options, each one line."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from types import SimpleNamespace

import pytest

from wuerst_demo.errors import SettingsError
from wuerst_demo.fleet import cluster_probe, machine_cores, ray_cluster
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


def no_version(name):
    raise metadata.PackageNotFoundError(name)


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("2.59.1", r"Ray 2\.59\.1 is too old, --replicas and --ray need 2\.60: pip install 'ray>=2\.60'\."),
        ("1.100.0", "Ray 1"),
        ("2.60.0", ""),
        ("2.100.0rc0", ""),
        ("3.0.0.dev0", ""),
        (None, "need Ray: pip install"),
    ],
)
def test_a_ray_that_is_too_old_is_rejected(version, line, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(metadata, "version", (lambda name: version) if version else no_version)
    with pytest.raises(SettingsError, match=line) if line else contextlib.nullcontext():
        ray_cluster.check_installed()


def test_a_ray_of_its_own_has_a_secret_and_no_dashboard_and_its_logs_are_shown(monkeypatch):
    started = []
    resources = {"CPU": 8.0, "memory": 2.0**35}
    ray = {"init": lambda **options: started.append(options), "cluster_resources": lambda: resources}
    nodes = [{"Alive": True, "Resources": resources}]
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(**ray, nodes=lambda: nodes))
    for name in ("check_installed", "start_reaper"):
        monkeypatch.setattr(ray_cluster, name, lambda: None)
    environments = {}, {}
    for env in environments:
        ray_cluster.connect(FleetOptions(2), env)
    for env, options in zip(environments, started, strict=True):
        assert env["RAY_AUTH_MODE"] == "token"
        assert env["RAY_USAGE_STATS_ENABLED"] == "0"
        assert int(env["RAY_max_direct_call_object_size"]) > 384 * 384 * 3
        assert (options["address"], options["include_dashboard"], options["log_to_driver"]) == ("local", False, True)
        assert options["num_cpus"] >= 2
    assert len(bytes.fromhex(environments[0]["RAY_AUTH_TOKEN"])) == 32
    assert environments[0]["RAY_AUTH_TOKEN"] != environments[1]["RAY_AUTH_TOKEN"]


def test_a_cluster_whose_gpus_have_not_joined_is_one_line_with_its_own_remedy():
    launcher = ray_cluster.RayLauncher(FleetOptions(None, "192.0.2.1:6379", "cuda"))
    launcher._counted_at, launcher._resources = float("inf"), {"CPU": 8.0}
    with pytest.raises(SettingsError, match="6379: no GPU has joined: run `ray start` on a machine with one, or use"):
        launcher.check_count()


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
    ("options", "resources", "machines", "wanted"),
    [
        (FleetOptions(None), {"CPU": 16.0, "GPU": 4.0}, 1, 4),
        (FleetOptions(None, device="cpu"), {"CPU": 16.0, "GPU": 4.0}, 1, 4),
        (FleetOptions(None), {"CPU": 2.0}, 1, 1),
        (FleetOptions(None, "192.0.2.1:6379"), {"CPU": 48.0}, 3, 3),
        (FleetOptions(None, "192.0.2.1:6379"), {}, 0, 1),
        (FleetOptions(7), {"CPU": 2.0}, 1, 7),
    ],
)
def test_auto_counts_gpus_or_cores_or_machines(options, resources, machines, wanted):
    launcher = ray_cluster.RayLauncher(options)
    launcher._counted_at, launcher._resources, launcher._machines = float("inf"), resources, machines
    assert launcher.wanted() == wanted


def test_machines_without_cores_do_not_count(monkeypatch):
    head, gone = {"Alive": True, "Resources": {"memory": 1e9}}, {"Alive": False, "Resources": {"CPU": 8.0}}
    machines = [head, gone, {"Alive": True, "Resources": {"CPU": 8.0}}]
    ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 8.0}, nodes=lambda: machines)
    monkeypatch.setitem(sys.modules, "ray", ray)
    launcher = ray_cluster.RayLauncher(FleetOptions(None, "192.0.2.1:6379"))
    assert launcher.wanted() == 1
    machines.append(machines[-1])
    launcher._counted_at = float("-inf")
    assert launcher.wanted() == 2


def test_places_of_gpus_that_have_gone_for_a_moment_are_not_for_the_cpu(monkeypatch):
    machines = [{"Alive": True, "Resources": {"CPU": 8.0}}]
    resources = {"CPU": 8.0, "GPU": 4.0}
    ray = SimpleNamespace(cluster_resources=lambda: resources, nodes=lambda: machines)
    monkeypatch.setitem(sys.modules, "ray", ray)
    launcher = ray_cluster.RayLauncher(FleetOptions(None, "192.0.2.1:6379"))
    seen = []
    for gpus in (4.0, 0.0, 3.0):
        resources["GPU"], launcher._counted_at = gpus, float("-inf")
        seen.append((launcher.wanted(), launcher.settle_on_gpus()))
    assert seen == [(4, True), (0, True), (3, True)]


HEAD, NODE = {"CPU": 64.0}, {"CPU": 8.0, "GPU": 4.0}


@pytest.mark.parametrize(
    ("resources", "on_gpu", "replicas", "machines", "threads"),
    [
        (NODE, True, 4, 2, 2),
        (NODE, True, 1, 2, 8),
        ({"CPU": 64.0, "GPU": 8.0}, True, 12, 2, 8),
        (HEAD, False, 2, 2, 64),
        (NODE, False, 2, 2, 8),
        (NODE, False, 4, 2, 4),
        (NODE, False, 3, 2, 4),
        ({"CPU": 2.0}, False, 7, 1, 1),
        ({"CPU": 128.0}, False, 2, 1, 32),  # more than the 64 there are: Ray was started for 128 replicas
        ({"GPU": 1.0}, True, 1, 1, 1),
    ],
)
def test_replicas_share_the_cores_of_their_own_machine(resources, on_gpu, replicas, machines, threads, monkeypatch):
    monkeypatch.setattr(machine_cores, "core_count", lambda: 64)
    nodes = [{"NodeID": "other", "Resources": {"CPU": 1.0}}, {"NodeID": "here", "Resources": resources}]
    context = SimpleNamespace(get_node_id=lambda: "here")
    ray = SimpleNamespace(nodes=lambda: nodes, get_runtime_context=lambda: context)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert ray_cluster.load_with_share(lambda share: share, on_gpu, replicas, machines) == threads
    assert os.environ["OMP_NUM_THREADS"] == str(threads)


@pytest.mark.parametrize(("on_gpu", "cores", "gpus"), [(True, 0, 1), (False, 1, 0)])
def test_an_actor_requests_no_more_cores_than_the_smallest_machine_has(on_gpu, cores, gpus, monkeypatch):
    started, actor = [], SimpleNamespace(remote=lambda *_: None)
    actor_class = SimpleNamespace(options=lambda **options: started.append(options) or actor)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(remote=lambda _: actor_class, kill=lambda _: None))
    process = ray_cluster.RayProcess()
    process.killed = True
    process.start(lambda: None, 8, on_gpu)
    assert (started[0]["num_cpus"], started[0]["num_gpus"]) == (cores, gpus)


def place(machines, replicas, ends):
    """Machines of so many replicas, by the launcher's choice, and of those that follow the ones that end."""
    nodes = [{"NodeID": name, "Alive": cores is not None, "Resources": {"CPU": cores}} for name, cores in machines]
    launcher, processes = ray_cluster.RayLauncher(FleetOptions(replicas)), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ray", SimpleNamespace(nodes=lambda: nodes))
        for ended in [None] * replicas + ends:
            if ended is not None:
                processes[ended].killed = True
            processes.append(ray_cluster.RayProcess())
            launcher._place(processes[-1])
    return "".join(process.node_id or "-" for process in processes)


@pytest.mark.parametrize(
    ("machines", "replicas", "ends", "places"),
    [
        ([("a", 8.0), ("b", 8.0)], 2, [1, 0], "abba"),
        ([("a", 8.0), ("b", 8.0)], 4, [3, 2], "ababba"),
        ([("a", 8.0), ("b", 64.0)], 2, [1, 0, 2], "baaba"),
        ([("a", 1.0), ("b", 64.0)], 4, [0], "babbb"),
        ([("head", 0.0), ("gone", None), ("a", 8.0)], 1, [0], "aa"),
        ([("a", 2.0)], 3, [], "aa-"),  # which waits for a core of any machine
    ],
)
def test_a_cpu_replica_starts_on_the_machine_with_the_fewest(machines, replicas, ends, places):
    assert place(machines, replicas, ends) == places


def test_a_replica_that_has_ended_by_itself_leaves_its_machine_to_others(monkeypatch):
    nodes = [{"NodeID": name, "Alive": True, "Resources": {"CPU": 8.0}} for name in "ab"]
    ray = SimpleNamespace(nodes=lambda: nodes, cluster_resources=lambda: {"CPU": 16.0})
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(ray_cluster.RayProcess, "start", lambda *_: None)
    monkeypatch.setattr(ray_cluster.RayProcess, "reports", lambda *_: [])
    launcher, places = ray_cluster.RayLauncher(FleetOptions(2, "192.0.2.1:6379")), []
    launcher.load = print
    for _ in range(2):
        process = ray_cluster.RayProcess()
        launcher._follow(process, SimpleNamespace(ended=print))
        places.append(process.node_id)
    assert places == ["a", "a"]


def test_a_chosen_machine_is_a_preference(monkeypatch):
    started, actor = [], SimpleNamespace(remote=lambda *_: None)
    actor_class = SimpleNamespace(options=lambda **options: started.append(options) or actor)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(remote=lambda _: actor_class, kill=lambda _: None))
    strategies = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node_id, **options: (node_id, options))
    monkeypatch.setitem(sys.modules, "ray.util.scheduling_strategies", strategies)
    process = ray_cluster.RayProcess()
    process.killed, process.node_id = True, "a"
    process.start(lambda: None, 8, on_gpu=False)
    assert started[0]["scheduling_strategy"] == ("a", {"soft": True, "_spill_on_unavailable": True})


VERSIONS = """RuntimeError: Version mismatch: The cluster was started with:
    Ray: 2.61.0
    Python: 3.12.1
This process on node 192.0.2.1 was started with:
    Ray: 2.60.0
    Python: 3.11.7
"""


WARNING = """[W 1 1] gcs_client.cc:210: Failed to get cluster ID: Unauthenticated: InvalidAuthToken: token is incorrect
Traceback (most recent call last):
  File "cluster_probe.py", line 89, in main
    if _accepts(address, secrets.token_hex(32)):
"""
"""What comes before: the first secret that is tried is always rejected."""


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (VERSIONS, "the cluster has Ray 2.61.0 with Python 3.12.1, and this machine 2.60.0 with Python 3.11.7"),
        ("ray.exceptions.AuthenticationError: Ray rejected it", "the same RAY_AUTH_TOKEN"),
        ("RuntimeError: Unauthenticated: RPC error: InvalidAuthToken", "the same RAY_AUTH_TOKEN"),
        ("RuntimeError: No node info found matching attributes: ''", "run `ray start --address 192.0.2.1:6379` here"),
        ("something else", "Ray cannot connect"),
    ],
)
def test_what_ray_says_becomes_one_line(said, line):
    assert line in cluster_probe._explain(WARNING + said, "192.0.2.1:6379")


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
