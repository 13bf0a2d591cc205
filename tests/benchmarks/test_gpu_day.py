"""A day with a GPU, rehearsed on small networks without one. Times are not tested."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from wuerst_demo.benchmarks import gpu_day
from wuerst_demo.benchmarks.__main__ import BENCHMARKS, main
from wuerst_demo.benchmarks.gpu_day import CASES, GpuDay, measure
from wuerst_demo.devices.placement import decide_placement
from wuerst_demo.errors import SettingsError
from wuerst_demo.placement_options import PlacementOptions
from wuerst_demo.request import Limits

LIMIT_S = 250.0


@pytest.fixture
def day(tiny, monkeypatch):
    monkeypatch.setattr(gpu_day, "MAX_IMAGES", 1)  # after one that warms up
    values = {"width": 128, "height": 128, "prior_steps": 4, "decoder_steps": 2, "prior_guidance": 4.0}
    request = Limits().request({"prompt": "", "seed": 0, "decoder_guidance": 0.0, **values})
    return GpuDay(tiny, request, decide_placement(PlacementOptions("cpu", "float32")))


def cases(*names):
    return {name: CASES[name] for name in names}


def test_every_figure_is_in_the_file_and_in_the_report(day, tmp_path, capsys):
    file = tmp_path / "figures.json"
    chosen = cases("environment", "profile", "ours", "stock", "crowd of 8", "offload model")
    records = measure(day, LIMIT_S, file, chosen)
    assert [json.loads(line) for line in file.read_text().splitlines()] == json.loads(json.dumps(records))
    found = {record["case"]: record for record in records}
    assert list(found) == list(chosen)
    assert set(found["ours"]["seconds"]) == {"text", "prior", "decoder", "vqgan", "total"}
    assert found["crowd of 8"]["images_per_s"] > 0
    for network in ("prior", "decoder"):
        assert any("addmm" in each["name"] for each in found["profile"][network]["operators"])
    report = capsys.readouterr().out
    for words in ("| ours | ", "| stock | ", "| 8 | ", "A step of the prior, ", "Not measured: offload model (offload"):
        assert words in report


def test_figures_of_several_days_are_appended(day, tmp_path):
    file = tmp_path / "figures.json"
    for _ in range(2):
        measure(day, LIMIT_S, file, {"nothing": lambda day: {}})
    assert len(file.read_text().splitlines()) == 2


def test_a_file_that_cannot_be_written_is_rejected_before_anything_is_measured(day, tmp_path):
    with pytest.raises(SettingsError, match=r"--file: .*missing/figures.json cannot be written \(No such file"):
        measure(day, LIMIT_S, tmp_path / "missing" / "figures.json", {"never": lambda day: pytest.fail("measured")})


def test_a_case_that_fails_does_not_cost_the_others(day, tmp_path):
    def fail(day):
        raise RuntimeError("no kernel image\nis available")

    records = measure(day, LIMIT_S, tmp_path / "figures.json", {"one": fail, "two": lambda day: {"here": 1}})
    assert records[0]["failed"] == "no kernel image"
    assert records[1]["here"] == 1


def test_fewer_steps_and_an_interval_of_guidance_compute_less(day, tmp_path):
    samples = []
    prior = day.both[1].prior
    prior.register_forward_pre_hook(lambda network, inputs: samples.append(len(inputs[0])))
    computed = {}
    for name in ("ours", "ours, guidance from 0.2 to 0.8", "ours, DDIM, half the steps"):
        samples.clear()
        images = len(measure(day, LIMIT_S, tmp_path / "figures.json", cases(name))[0]["runs"])
        computed[name] = sum(samples) / images
    assert list(computed.values()) == [8, 6, 4]


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["in the foreground", "in the background"])
def interrupt_handler(request):
    """What the shell has set for interrupts."""
    before = signal.signal(signal.SIGINT, request.param)
    yield request.param
    signal.signal(signal.SIGINT, before)


def test_when_the_time_is_up_the_report_has_what_was_measured(day, tmp_path, capsys, monkeypatch, interrupt_handler):
    alarms = []

    class Alarm:
        """Stands for `threading.Timer`; goes off when the test says so."""

        def __init__(self, interval, function):
            self.interval, self.function, self.cancelled = interval, function, False
            alarms.append(self)

        def start(self):
            pass

        def cancel(self):
            self.cancelled = True

    def goes_on(day):
        alarms[0].function()
        for _ in range(500):
            time.sleep(0.01)
        return {}

    monkeypatch.setattr(threading, "Timer", Alarm)
    slow = {"nothing": lambda day: {}, "compiling": goes_on, "later": lambda day: {}}
    records = measure(day, LIMIT_S, tmp_path / "figures.json", slow)
    assert [(alarm.interval, alarm.cancelled) for alarm in alarms] == [(LIMIT_S, True)]
    assert [record["case"] for record in records] == ["nothing"]
    assert "stopped; what is missing was not measured" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) == interrupt_handler


def test_the_published_networks_are_measured_unless_small_ones_are_asked_for():
    full, small = GpuDay.plan(small=False), GpuDay.plan(small=True)
    assert (full.request.width, full.request.prior_steps, full.request.decoder_steps) == (1024, 29, 12)
    assert full.configs["wuerstchen-prior/prior"]["c"] == 1536
    assert small.configs["wuerstchen-prior/prior"]["c"] < 1536
    assert list(CASES)[-1] == "ours compiled"


def required_distributions(names):
    """The distributions, and all that they require here without extras."""
    found, waiting = set(), list(names)
    while waiting:
        if (name := waiting.pop().lower().replace("_", "-")) not in found:
            found.add(name)
            needed = map(Requirement, metadata.requires(name) or [])
            waiting += [each.name for each in needed if not each.marker or each.marker.evaluate({"extra": ""})]
    return found


ONLY = """
import sys

class Without:
    "A finder that does not find some modules."

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {missing!r} else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path = [Without(finder) for finder in sys.meta_path]
from wuerst_demo.cli.main import main
import wuerst_demo.benchmarks.gpu_day as gpu_day
gpu_day.CASES = {{"cocktail": gpu_day.CASES["cocktail"]}}
gpu_day.measure.__defaults__ = (gpu_day.CASES,)
sys.exit(main(["bench", "gpu-day", "--small", "--file", {file!r}]))
"""


@pytest.mark.slow
def test_it_runs_where_only_the_named_wheels_are_installed(tmp_path):
    about = BENCHMARKS["gpu_day"]["about"]
    named = re.split(", ", re.search(r"besides: (.*)\.", about)[1])
    there = required_distributions(["torch", "transformers", "accelerate", "huggingface_hub"]) | set(named)
    missing = {
        module
        for module, owners in metadata.packages_distributions().items()
        if not {owner.lower().replace("_", "-") for owner in owners} & (there | {"wuerst-demo"})
    }
    assert {"gradio", "prometheus_client", "fastapi"} <= missing
    program = ONLY.format(missing=missing, file=str(tmp_path / "figures.json"))
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=250)
    assert ended.returncode == 0, ended.stderr
    assert "The cocktail at its defaults: stock" in ended.stdout


def test_the_command_is_spelt_with_a_hyphen_too(capsys):
    assert main(["gpu-day", "--help"], {}) == 0
    out = capsys.readouterr().out
    assert "--small" in out
    assert "besides: certifi" in " ".join(out.split())
