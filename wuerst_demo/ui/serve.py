"""Puts the page on the network: look, address, what is open and what is not.

Does not know what the page does.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from gradio import http_server
from starlette.middleware import Middleware

from wuerst_demo.settings import Settings
from wuerst_demo.ui.cache import own_cache
from wuerst_demo.ui.endpoint import misnamed
from wuerst_demo.ui.gate import LARGEST_FILE, SESSIONS, Gate
from wuerst_demo.ui.hosting import reach_itself, say, taken
from wuerst_demo.ui.languages import texts
from wuerst_demo.ui.look import ASSETS, theme
from wuerst_demo.ui.page import build
from wuerst_demo.ui.studio import Studio
from wuerst_demo.ui.vitals import Vitals

THREADS = 80
"""Threads for handlers. Each open drawing holds one while it waits for its next step; typing needs some too."""
HEAD = ("lang.js", "weights.js")
"""Scripts that run before the page is made."""


def serve(studio: Studio, settings: Settings, host: str, port: int, vitals: Vitals | None = None) -> None:
    """Open the page, with `vitals` beside it, and stay until the program is told to stop.

    Raises SettingsError where the port has been taken.
    """
    with own_cache():
        page = build(studio)
        if settings.share:
            who = "whoever knows name and password" if settings.auth else "ANYBODY who has the link"
            say(f"Opens this page to the internet, through Gradio's tunnel, for {who}.")
        reach_itself(os.environ, host)
        # Gradio would look for a free port at GRADIO_SERVER_NAME, by IPv4 alone; `address` has seen to the port.
        http_server.LOCALHOST_NAME = "127.0.0.1"
        try:
            _, local, public = page.launch(**launch_options(settings, host, port, vitals))
        except OSError as error:
            if "port" not in str(error):
                raise
            raise taken(port) from error
        # What is told to end unwinds too, so that the pictures of its visitors go with it.
        for told in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP; nohup has it ignored
            number = getattr(signal, told, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: sys.exit(0))
        say(f"The page is at {local}")
        if settings.share:
            say(f"From the internet: {public}" if public else "The tunnel could not be opened.")
        page.block_thread()


def launch_options(settings: Settings, host: str, port: int, vitals: Vitals | None = None) -> dict[str, Any]:
    """What `launch` is given. What Gradio would else read from environment variables of its own is said here."""
    user, _, password = (settings.auth or "").partition(":")
    return {
        "server_name": host,
        "server_port": port,
        "share": settings.share,
        "auth": (user, password) if settings.auth else None,
        "theme": theme(),
        "i18n": texts(),
        "css_paths": ASSETS / "style.css",
        "js": (ASSETS / "keys.js").read_text(encoding="utf-8"),
        "head": "".join(f"<script>{(ASSETS / name).read_text(encoding='utf-8')}</script>" for name in HEAD),
        "favicon_path": ASSETS / "favicon.svg",
        "footer_links": ["api"],
        "show_error": False,
        "run_history": False,
        "enable_monitoring": False,
        "allowed_paths": [],
        "max_file_size": LARGEST_FILE,
        "max_threads": THREADS,
        "ssr_mode": False,
        "mcp_server": not settings.auth,  # it would list its tools to those who have not logged in, and draw for nobody
        "pwa": False,
        "app_kwargs": {
            "routes": vitals.routes() if vitals else [],
            "middleware": [Middleware(Gate)],
            "exception_handlers": {TypeError: misnamed},
        },
        "state_session_capacity": SESSIONS,
        "quiet": True,
        "prevent_thread_lock": True,
    }
