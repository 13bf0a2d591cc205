"""Two addresses beside the page, for programs that watch it: `/healthz` and `/metrics`.

They ask for no password and tell nothing of visitors. Whether they are there at all is decided in `hosting`. Does not
know the engine; what they say is what the functions give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass(frozen=True)
class Vitals:
    """`health` says whether pictures can be drawn, as "alive", and whatever else is good to know, as plain data;
    `metrics` is Prometheus' text. Both are called in threads, and are quick."""

    health: Callable[[], Mapping[str, object]]
    metrics: Callable[[], bytes]

    def routes(self) -> list[Route]:
        """GET `/healthz`: 200 while alive, else 503, with what `health` says as JSON. GET `/metrics`: the numbers."""

        def healthz(request: Request) -> Response:
            health = self.health()
            return JSONResponse(dict(health), 200 if health["alive"] else 503, headers={"Cache-Control": "no-store"})

        def metrics(request: Request) -> Response:
            return Response(self.metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

        return [Route("/healthz", healthz), Route("/metrics", metrics)]
