"""Server of the page: launch options, routes and middleware, signals."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio import http_server
from gradio.tunneling import CURRENT_TUNNELS
from starlette.middleware import Middleware
from starlette.routing import Route

from wuerst_demo.settings import Settings
from wuerst_demo.web.api_endpoint import handle_unknown_parameter
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.deployment import (
    access_policy,
    bypass_proxy,
    on_zero_gpu,
    port_in_use,
    print_status,
    tells_clients_apart,
)
from wuerst_demo.web.i18n.translate import browser_texts
from wuerst_demo.web.live.service import LiveService
from wuerst_demo.web.mcp_content import convert_mcp_answers
from wuerst_demo.web.middleware.call_check import CallCheckMiddleware
from wuerst_demo.web.middleware.client_address import ClientAddressMiddleware
from wuerst_demo.web.middleware.connections import raise_open_file_limit
from wuerst_demo.web.middleware.health import HealthRoutes
from wuerst_demo.web.middleware.login import LoginMiddleware
from wuerst_demo.web.middleware.open_requests import OpenRequestsMiddleware
from wuerst_demo.web.middleware.origin_check import OriginCheckMiddleware
from wuerst_demo.web.middleware.request_limits import MAX_GRADIO_SESSIONS, RequestLimitMiddleware
from wuerst_demo.web.middleware.safe_log import configure_log
from wuerst_demo.web.middleware.temp_files import private_temp_folder
from wuerst_demo.web.middleware.uploads import MAX_UPLOAD_BYTES
from wuerst_demo.web.page import build_page
from wuerst_demo.web.shared.static_files import STATIC_FOLDER, read_static
from wuerst_demo.web.theme import create_theme

MAX_HANDLER_THREADS = 160
"""Each open generation, comparison, explanation and re-attachment holds a thread while it waits for its next step; the
other events need some, too."""
MAX_SHUTDOWN_S = 2.5
"""What a killed process leaves, the next start deletes."""
HEAD_SCRIPTS = (
    "event_stream.js",
    "language.js",
    "client_identity.js",
    "hold_clicks.js",
    "prompt_syntax.js",
    "weight_keys.js",
    "folds.js",
    "grid_keys.js",
    "live.js",
)
"""Scripts that run before the page is rendered."""


def serve(context: WebContext, settings: Settings, host: str, port: int, health: HealthRoutes | None = None) -> None:
    """Serve the page until the process is interrupted. Raises SettingsError if the port is in use.

    There are no live pictures on ZeroGPU, where each would be a call of its own against the visitor's quota.
    """
    raise_open_file_limit()
    configure_log()
    with private_temp_folder():
        live = None if on_zero_gpu(os.environ) else LiveService(context)
        page = build_page(context, live)
        routes = [*(live.routes() if live else []), *(health.routes() if health else [])]
        if settings.share:
            who = "everyone who has the name and password" if settings.auth else "ANYONE who has the link"
            print_status(f"This page is open to the internet, through Gradio's tunnel, for {who}.")
        bypass_proxy(os.environ, host)
        # Gradio would look for a free port at GRADIO_SERVER_NAME, on IPv4 only; `resolve_address` has checked the port.
        http_server.LOCALHOST_NAME = "127.0.0.1"
        try:
            _, local, public = page.launch(**launch_options(settings, host, port, routes))
        except OSError as error:
            if "port" not in str(error):
                raise
            raise port_in_use(port) from error
        gc.freeze()  # a collection that looks through all that has been loaded would stop everything for half a second
        stopped = _stop_at_signals()
        print_status(f"The page is at {local}")
        if settings.share:
            print_status(f"From the internet: {public}" if public else "The tunnel could not be opened.")
        while page.is_running and not stopped.wait(0.5):  # without a timeout, Windows would not see Ctrl-C
            pass
        _close(page)


def _stop_at_signals() -> threading.Event:
    """An event that Ctrl-C and a termination set, once or more often: the process unwinds, so that its temporary files
    are deleted."""
    stopped = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP; nohup ignores it
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: stopped.set())
    return stopped


def _close(page: gr.Blocks) -> None:
    """Close the server without waiting for its clients; the process ends in `MAX_SHUTDOWN_S`, whatever is running."""
    deadline = threading.Timer(MAX_SHUTDOWN_S, os._exit, (0,))
    deadline.daemon = True
    deadline.start()
    if page.server:
        logging.getLogger("uvicorn.error").disabled = True  # it would report the requests that it cuts off
        page.server.force_exit = True
    for tunnel in CURRENT_TUNNELS:
        tunnel.kill()  # type: ignore[no-untyped-call]
    page.close(verbose=False)


def launch_options(settings: Settings, host: str, port: int, routes: Sequence[Route] = ()) -> dict[str, Any]:
    """Arguments of `gr.Blocks.launch`. Options that Gradio would read from its environment variables are set, too."""
    user, _, password = (settings.auth or "").partition(":")
    return {
        "server_name": host,
        "server_port": port,
        "share": settings.share,
        "root_path": settings.root_path,
        "auth": (user, password) if settings.auth else None,
        "theme": create_theme(),
        "i18n": browser_texts(),
        "css_paths": STATIC_FOLDER / "style.css",
        "js": read_static("hotkeys.js"),
        "head": "".join(f"<script>{read_static(name)}</script>" for name in HEAD_SCRIPTS),
        "favicon_path": STATIC_FOLDER / "favicon.svg",
        "footer_links": ["api"],
        "show_error": False,
        "run_history": False,
        "enable_monitoring": False,
        "allowed_paths": [],
        "max_file_size": MAX_UPLOAD_BYTES,
        "max_threads": MAX_HANDLER_THREADS,
        "ssr_mode": False,
        "mcp_server": not settings.auth,  # it would list its tools without a login, and reject their calls
        "pwa": False,
        "app_kwargs": {
            "lifespan": convert_mcp_answers,
            "routes": list(routes),
            "middleware": [
                Middleware(ClientAddressMiddleware, settings.trusted_proxy, tells_clients_apart(settings, os.environ)),
                Middleware(OpenRequestsMiddleware),
                Middleware(OriginCheckMiddleware, access_policy(settings, os.environ, host)),
                Middleware(RequestLimitMiddleware),
                *([Middleware(LoginMiddleware)] if settings.auth else []),
                Middleware(CallCheckMiddleware),
            ],
            "exception_handlers": {TypeError: handle_unknown_parameter},
        },
        "state_session_capacity": MAX_GRADIO_SESSIONS,
        "quiet": True,
        "prevent_thread_lock": True,
    }
