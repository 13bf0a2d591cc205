"""The start of a page's fleet, over local replicas, and what they are given to load: the checkpoint of the page."""

from __future__ import annotations

import signal
import threading
from functools import partial

import pytest
from safetensors.torch import load_file

from tests.engine.clients import eventually, make_request
from tests.fakes.fleet import LocalLauncher
from tests.fakes.hub import COMMIT, FolderHub
from tests.fakes.loras import diffusers_2023_keys, random_changes, write_lora
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.cli.fleet import replica_names, start_fleet
from wuerst_demo.cli.info import runtime_summary
from wuerst_demo.devices.placement import decide_placement
from wuerst_demo.errors import PlacementError
from wuerst_demo.fleet import driver_launcher, status
from wuerst_demo.fleet.ray_cluster import describe_failure
from wuerst_demo.placement_options import PlacementOptions
from wuerst_demo.settings import Settings

DECODER, PRIOR = "owner/x", "warp-ai/wuerstchen-prior"
BARE_PRIOR, VQGAN, LORA = "owner/prior", "owner/vqgan", "owner/lora"


def resolve(settings, hub):
    return resolve_checkpoint(settings.model, settings.prior, settings.vqgan, settings.lora, hub)


def load(names, hub):
    return resolve_checkpoint(names.model, names.prior, names.vqgan, names.loras, hub)


@pytest.fixture
def hub(checkpoint_2023, tmp_path):
    """A Hub with a decoder, the prior that it names, another prior, a VQGAN and a LoRA."""
    prior = checkpoint_2023 / "wuerstchen-prior"
    write_lora(
        tmp_path / "lora/a.safetensors",
        diffusers_2023_keys(random_changes(load_file(prior / "prior/diffusion_pytorch_model.safetensors"))),
    )
    folders = {PRIOR: prior, BARE_PRIOR: prior / "prior", VQGAN: checkpoint_2023 / "wuerstchen/vqgan"}
    return FolderHub({DECODER: checkpoint_2023 / "wuerstchen", **folders, LORA: tmp_path / "lora"}, tmp_path / "cache")


@pytest.mark.parametrize(
    ("settings", "pinned"),
    [
        (Settings(model=DECODER), {DECODER, PRIOR}),
        (Settings(model=f"{DECODER}@main", prior=f"{PRIOR}@v2"), {DECODER, PRIOR}),
        (Settings(model=DECODER, vqgan=VQGAN), {DECODER, PRIOR, VQGAN}),
        (Settings(model=DECODER, lora=(f"{LORA}:0.12345678", f"{LORA}/a.safetensors@v2")), {DECODER, PRIOR, LORA}),
        # The text encoder of a bare prior is that of the model's own prior, at the head of its main branch.
        (Settings(model=DECODER, prior=BARE_PRIOR), {DECODER, BARE_PRIOR}),
    ],
)
def test_replicas_load_the_revisions_that_the_page_has(settings, pinned, hub):
    found = resolve(settings, hub)
    hub.fetched.clear()
    again = load(replica_names(settings, found), hub)
    assert [each.weights for each in again.networks] == [each.weights for each in found.networks]
    assert again.loras == found.loras
    assert {repository for repository, revision, _ in hub.fetched if revision == COMMIT} == pinned


def test_replicas_load_folders_as_they_were_given(checkpoint_2023, hub, tmp_path):
    folders = {
        "model": str(checkpoint_2023 / "wuerstchen"),
        "prior": str(checkpoint_2023 / "wuerstchen-prior"),
        "vqgan": str(checkpoint_2023 / "wuerstchen/vqgan"),
        "lora": (f"{tmp_path}/lora/a.safetensors:0.5",),
    }
    settings = Settings(**folders)
    names = replica_names(settings, resolve(settings, hub))
    assert (names.model, names.prior, names.vqgan, names.loras) == tuple(folders.values())


class InstantLauncher(LocalLauncher):
    """Launches replicas that load at once, or fail with an error, by name, as their actors would."""

    def __init__(self, count, errors=None):
        super().__init__(count)
        self.errors = errors or {}

    def launch(self, name, listener):
        process = super().launch(name, listener)
        error = self.errors.get(name)
        act = partial(process.die, describe_failure(error)) if error else process.work
        threading.Thread(target=act, daemon=True).start()  # which waits for the supervisor's lock
        return process


@pytest.fixture
def start(resolved, monkeypatch):
    """Starts a fleet with a launcher."""
    before, started = signal.getsignal(signal.SIGUSR1), []

    def start(launcher):
        monkeypatch.setattr(driver_launcher, "start_driver", lambda *_: launcher)
        started.append(start_fleet(Settings(replicas=str(launcher.count)), resolved, 0.0, 0.0))
        return started[-1]

    yield start
    signal.signal(signal.SIGUSR1, before)
    for each in started:
        each.supervisor.close()


def test_sigusr1_restarts_one_replica_after_another(start):
    launcher = InstantLauncher(2)
    running = start(launcher)
    eventually(lambda: [each.state for each in running.fleet.replicas.values()] == ["ready", "ready"])
    signal.getsignal(signal.SIGUSR1)(signal.SIGUSR1, None)  # not sent: it would end a test process that lost it
    eventually(lambda: [process.name for process in launcher.processes] == ["1", "2", "1", "2"])
    eventually(lambda: [each.state for each in running.fleet.replicas.values()] == ["ready", "ready"])
    assert [process.killed for process in launcher.processes] == [True, True, False, False]


def test_the_foot_of_a_fleets_page_names_the_checkpoint_as_one_device_does(start, resolved):
    running = start(InstantLauncher(1))
    one_device = runtime_summary(resolved, decide_placement(PlacementOptions("cpu", "float32")))
    assert running.runtime == {"Checkpoint": one_device["Checkpoint"], "Data type": "float32"}


TOO_LITTLE_MEMORY = PlacementError("It needs 9 GB, and 4 GB are free: give --offload model.")


def test_too_little_memory_on_every_machine_is_one_line_with_the_remedy(start):
    pytest.importorskip("ray")
    launcher = InstantLauncher(2, {"1": TOO_LITTLE_MEMORY, "2": TOO_LITTLE_MEMORY})
    with pytest.raises(PlacementError) as rejected:
        start(launcher)
    assert str(rejected.value) == f"No replica could be started: {TOO_LITTLE_MEMORY}"
    assert launcher.closed


def test_a_replica_with_too_little_memory_is_left_out_and_named(start, caplog):
    pytest.importorskip("ray")
    running = start(InstantLauncher(2, {"2": TOO_LITTLE_MEMORY}))
    eventually(lambda: running.fleet.replicas["2"].failures)
    assert running.description.machine == "machine 1"
    health = status.health(running.fleet)
    assert health["alive"]
    assert [each["reason"] for each in health["replicas"]] == ["", str(TOO_LITTLE_MEMORY).rstrip(".")]
    assert any(
        line.startswith(f"Replica 2 has gone: {health['replicas'][1]['reason']}. It") for line in caplog.messages
    )
    ticket = running.fleet.submit(make_request(), "ann")
    eventually(lambda: running.fleet.replicas["1"].images)
    ticket.cancel()
