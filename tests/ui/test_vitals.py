"""What programs that watch the page are told, and where they are told nothing."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.engine.crowd import request
from tests.fakes import FakeCascade
from wuerst_demo.engine.local import Local
from wuerst_demo.engine.metrics import Metrics
from wuerst_demo.settings import Settings
from wuerst_demo.ui.hosting import watched
from wuerst_demo.ui.vitals import Vitals


def asked(engine, metrics=None):
    return TestClient(Starlette(routes=Vitals(engine.health, (metrics or Metrics()).text).routes()))


def test_a_living_engine_is_well_and_says_when_its_last_step_was():
    with Local(FakeCascade()) as engine:
        client = asked(engine)
        before = client.get("/healthz")
        list(engine.run(request(), "ann"))
        after = client.get("/healthz")
    assert (before.status_code, before.json()) == (
        200,
        {"alive": True, "reason": "", "last_step": None, "rows": 0},
    )
    assert after.status_code == 200
    assert 0 <= after.json()["last_step"] < 600


def test_a_dead_engine_is_unwell(caplog):
    with Local(FakeCascade(failures={0: SystemExit("the device is gone")})) as engine:
        with pytest.raises(Exception, match="fault"):
            list(engine.run(request(), "ann"))
        answer = asked(engine).get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["alive"] is False


def test_the_numbers_are_prometheus_text():
    metrics = Metrics()
    with Local(FakeCascade(), watch=metrics) as engine:
        list(engine.run(request(images=2), "ann"))
        answer = asked(engine, metrics).get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'wuerst_row_steps_total{stage="vqgan"} 2.0\n' in answer.text


def test_only_reading_is_answered():
    client = asked(Local(FakeCascade()))
    assert [client.post(path).status_code for path in ("/healthz", "/metrics")] == [405, 405]


SPACE = {"SPACE_ID": "somebody/wuerstchen"}


@pytest.mark.parametrize(
    ("settings", "env", "there"),
    [
        (Settings(), {}, True),
        (Settings(host="0.0.0.0"), {}, True),
        (Settings(share=True), {}, False),
        (Settings(share=True, auth="me:secret"), {}, False),
        (Settings(), SPACE, False),
        (Settings(share=True, public_metrics=True), {}, True),
        (Settings(public_metrics=True), SPACE, True),
    ],
)
def test_where_the_public_gets_in_nothing_is_told_unless_asked_for(settings, env, there):
    assert watched(settings, env) is there
