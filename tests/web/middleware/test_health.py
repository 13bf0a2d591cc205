"""Routes for monitoring."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.engine.clients import make_request
from tests.fakes import server
from tests.fakes.cascade import FakeCascade
from tests.fakes.web import fake_context
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.metrics import Metrics
from wuerst_demo.settings import Settings
from wuerst_demo.web.deployment import exposes_metrics
from wuerst_demo.web.middleware.health import HealthRoutes


def asked(engine, metrics=None):
    return TestClient(Starlette(routes=HealthRoutes(engine.health, (metrics or Metrics()).render).routes()))


def test_a_live_engine_is_healthy_and_reports_its_last_step():
    with Engine(FakeCascade()) as engine:
        client = asked(engine)
        before = client.get("/healthz")
        list(engine.run(make_request(), "ann"))
        after = client.get("/healthz")
    assert (before.status_code, before.json()) == (
        200,
        {"alive": True, "reason": "", "last_step": None, "rows": 0},
    )
    assert after.status_code == 200
    assert 0 <= after.json()["last_step"] < 600


def test_a_dead_engine_answers_503(caplog):
    with Engine(FakeCascade(failures={0: SystemExit("the device is gone")})) as engine:
        with pytest.raises(Exception, match="stopped after an error"):
            list(engine.run(make_request(), "ann"))
        answer = asked(engine).get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["alive"] is False


def test_metrics_are_prometheus_text():
    metrics = Metrics()
    with Engine(FakeCascade(), observer=metrics) as engine:
        list(engine.run(make_request(images=2), "ann"))
        answer = asked(engine, metrics).get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'wuerst_row_steps_total{stage="vqgan"} 2.0\n' in answer.text


def test_only_get_is_answered():
    client = asked(Engine(FakeCascade()))
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
def test_a_public_page_exposes_metrics_only_on_request(settings, env, there):
    assert exposes_metrics(settings, env) is there


def test_health_and_metrics_work_on_a_page_with_a_password():
    alive = [True]
    health = HealthRoutes(lambda: {"alive": alive[0]}, lambda: b"wuerst_rows 3\n")
    with server.serve_page(fake_context(), Settings(auth="me:secret"), health) as address:
        metrics, well = server.get(f"{address}metrics"), server.get(f"{address}healthz")
        assert (metrics.status_code, metrics.content) == (200, b"wuerst_rows 3\n")
        assert (well.status_code, well.json()) == (200, {"alive": True})
        alive[0] = False
        assert server.get(f"{address}healthz").status_code == 503


@pytest.mark.parametrize("path", ["healthz", "metrics"])
def test_without_health_routes_the_paths_are_not_found(instant_page, path):
    assert server.get(f"{instant_page}{path}").status_code == 404
