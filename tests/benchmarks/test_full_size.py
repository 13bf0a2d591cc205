"""The full-size benchmark on small networks: what it reports, and what it leaves behind."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from wuerst_demo.benchmarks.full_size import measure, select_configs
from wuerst_demo.benchmarks.random_checkpoint import PUBLISHED_CONFIGS, SMALL_CONFIGS, stored_bytes
from wuerst_demo.errors import SettingsError
from wuerst_demo.request import Limits
from wuerst_demo.settings import Settings

CPU = Settings(device="cpu")


@pytest.fixture
def request_128():
    values = {"width": 128, "height": 128, "prior_steps": 3, "decoder_steps": 2, "prior_guidance": 4.0}
    return Limits().request({"prompt": "noise", "seed": 0, "decoder_guidance": 0.0, **values})


def test_every_stage_is_measured_and_the_files_are_removed(tiny, request_128, tmp_path, capsys):
    facts = measure(CPU, request_128, 2, tiny, True, str(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    for stage in ("text", "prior", "decoder", "vqgan", "total"):
        assert facts["ours"]["settled"][stage] > 0
        assert any(line.startswith(stage) for line in lines)
    assert len(facts["ours"]["pictures"]) == len(facts["stock"]["pictures"]) == 2
    assert facts["ratio"] == facts["stock"]["settled"]["total"] / facts["ours"]["settled"]["total"]
    assert facts["weights_bytes"] == 4 * facts["parameters"]
    assert 0 < facts["operations"]["asked"] < facts["operations"]["published_steps"]
    assert facts["operations"]["published_steps"] < facts["operations"]["published_steps_stock"]
    assert facts["ours"]["host_peak"] > 0
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_before_anything_is_written(tiny, request_128, tmp_path, capsys, monkeypatch):
    free = stored_bytes(tiny) - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    with pytest.raises(SettingsError, match="set TMPDIR to a folder with enough space, or give --parts prior"):
        measure(CPU, request_128, 1, tiny, False, str(tmp_path))
    assert (capsys.readouterr().out, list(tmp_path.iterdir())) == ("", [])


def test_the_other_parts_are_small():
    configs = select_configs(["prior"])
    for folder, config in configs.items():
        assert config == (PUBLISHED_CONFIGS if folder.startswith("wuerstchen-prior/") else SMALL_CONFIGS)[folder]
    assert select_configs(["prior", "decoder"]) == PUBLISHED_CONFIGS
