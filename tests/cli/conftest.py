"""The command line over a fake checkpoint."""

import contextlib
import dataclasses
from pathlib import Path

import pytest

from tests.fakes.cascade import FakeCascade
from wuerst_demo.cli.main import main
from wuerst_demo.engine.engine import Engine

CHECKPOINT = Path(__file__).parents[1] / "fixtures" / "checkpoint-2023" / "wuerstchen"


@dataclasses.dataclass
class FakePlacement:
    reason: str = "Runs on nothing."


class FakeWuerstchen:
    """A loaded checkpoint without networks, which records its requests."""

    placement = FakePlacement()

    def __init__(self, cascade=None):
        self.engine = Engine(cascade or FakeCascade())
        self.requests = []

    def run(self, request):
        self.requests.append(request)
        return self.engine.run(request)

    def run_all(self, requests):
        self.requests += (taken := list(requests))
        return self.engine.run_all(taken)


@pytest.fixture
def run_cli(capsys, tmp_path):
    """Runs `main` in an empty folder: exit code, lines of standard output and standard error, requests."""

    def run(*argv, cascade=None, env=None):
        fake = FakeWuerstchen(cascade)
        model = [] if "--model" in argv or not argv or argv[0] == "train" else ["--model", str(CHECKPOINT)]
        with contextlib.chdir(tmp_path):
            code = main([*argv, *model], env or {}, load=lambda resolved, settings: fake)
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines(), fake.requests

    return run
