"""Routes for monitoring: `/healthz` and `/metrics`.

They need no password and carry no user data. `deployment.exposes_metrics` decides whether a page has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

HEALTH_PATHS = ("/healthz", "/metrics")


@dataclass(frozen=True)
class HealthRoutes:
    """Source of both routes. Both functions are called in threads."""

    health: Callable[[], Mapping[str, object]]
    """State as plain data; "alive" says whether images can be generated."""
    metrics: Callable[[], bytes]
    """Metrics in Prometheus' text format."""

    def routes(self) -> list[Route]:
        """GET `/healthz`: the state as JSON, with status 200 while alive, else 503. GET `/metrics`: the metrics."""

        def healthz(request: Request) -> Response:
            health = self.health()
            return JSONResponse(dict(health), 200 if health["alive"] else 503, headers={"Cache-Control": "no-store"})

        def metrics(request: Request) -> Response:
            return Response(self.metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

        return [Route("/healthz", healthz), Route("/metrics", metrics)]
