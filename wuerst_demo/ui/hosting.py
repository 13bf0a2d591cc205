"""Where the page runs: on somebody's machine or as a Hugging Face Space, and what that changes.

A Space listens on every address of its container and, with a GPU and the Hub at hand, draws with the published
checkpoint. On ZeroGPU the device is there only inside a function that is marked for it.

Does not know torch or Gradio; takes its decisions from the environment it is given.
"""

from __future__ import annotations

import dataclasses
import errno
import importlib
import importlib.util
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import closing
from html import unescape
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

from wuerst_demo.errors import CheckpointError, SettingsError, UserError
from wuerst_demo.events import Event
from wuerst_demo.request import Request
from wuerst_demo.settings import OPTIONS, Settings
from wuerst_demo.ui.studio import Draw

PUBLISHED = "warp-ai/wuerstchen"
DRIVER = Path("/dev/nvidiactl")
"""There where a container was given an NVIDIA GPU. Asking torch would touch CUDA, too early for ZeroGPU."""
L = TypeVar("L")


def on_space(env: Mapping[str, str]) -> bool:
    return "SPACE_ID" in env


def on_zero_gpu(env: Mapping[str, str]) -> bool:
    return env.get("SPACES_ZERO_GPU", "").lower() in ("1", "true")


def placed(settings: Settings, env: Mapping[str, str]) -> Settings:
    """The settings as they can be had here. ZeroGPU keeps networks where they were when the program started, and its
    calls are processes of their own: nothing is offloaded, nothing compiled. Raises SettingsError where it was asked.
    """
    if not on_zero_gpu(env):
        return settings
    if settings.offload not in ("auto", "none"):
        raise SettingsError("On ZeroGPU all networks stay on the device: leave --offload (WUERST_OFFLOAD) out.")
    if settings.compile:
        raise SettingsError("Nothing can be compiled on ZeroGPU: leave --compile (WUERST_COMPILE) out.")
    return dataclasses.replace(settings, offload="none")


def say(line: str) -> None:
    """A line for whoever started the program."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def found(
    settings: Settings,
    env: Mapping[str, str],
    locate: Callable[[str | None, str | None, str | None, tuple[str, ...]], L],
    say: Callable[[str], object] = say,
    driver: Path = DRIVER,
) -> L:
    """The checkpoint to draw with. On a Space with a GPU and no --model: the published one, or, where the Hub does not
    have it, the one that ships with the demo; `say` is told. Raises CheckpointError."""
    if settings.model is None and on_space(env) and (on_zero_gpu(env) or driver.exists()):
        try:
            return locate(PUBLISHED, settings.prior, settings.vqgan, settings.lora)
        except CheckpointError as error:
            say(f"{error} Until then the small checkpoint draws that ships with the demo.")
    return locate(settings.model, settings.prior, settings.vqgan, settings.lora)


def address(settings: Settings, env: Mapping[str, str]) -> tuple[str, int]:
    """Host and port to listen on. Raises SettingsError where the port is taken or the host is not this machine's.

    Asked before anything slow begins. A port that is taken later is refused by `serve`.
    """
    host = "0.0.0.0" if on_space(env) and settings.host == OPTIONS["host"].default else settings.host
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host.strip("[]"), settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except (socket.gaierror, UnicodeError) as error:  # the latter for names that no host can have
        raise SettingsError(f"--host {host} is no address; use 127.0.0.1, or 0.0.0.0 to let others in.") from error
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                raise taken(settings.port) from error
            case errno.EACCES:
                raise SettingsError(f"Port {settings.port} is not ours to open; use --port above 1023.") from error
            case _:
                raise SettingsError(
                    f"--host {host} is not an address of this machine; use 127.0.0.1, or 0.0.0.0 to let others in."
                ) from error
    return f"[{host.strip('[]')}]" if ":" in host else host, settings.port


def reach_itself(env: MutableMapping[str, str], host: str) -> None:
    """Keeps this machine's own addresses from any proxy that `env` names: as it opens a page, Gradio asks that page
    whether it is there."""
    for name in ("NO_PROXY", "no_proxy"):
        if name == "NO_PROXY" or name in env:
            env[name] = ",".join(filter(None, (env.get(name), "127.0.0.1", "localhost", "::1", host.strip("[]"))))


def watched(settings: Settings, env: Mapping[str, str]) -> bool:
    """Whether programs may ask how the engine does: not where the public gets in, unless that was asked for."""
    return settings.public_metrics or not (settings.share or on_space(env))


def keeps(settings: Settings, env: Mapping[str, str], host: str) -> bool:
    """Whether finished pictures are kept and shown again: on a person's own machine, where nobody else gets in.

    A password says that others do, whichever way they come.
    """
    shared = settings.share or settings.auth is not None or on_space(env)
    return not settings.no_history and not shared and _own(host)


def _own(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
        return all(ip_address(str(where[0]).partition("%")[0]).is_loopback for *_, where in found)
    except (OSError, ValueError):
        return False


def taken(port: int) -> SettingsError:
    return SettingsError(f"Port {port} is in use; stop the program that has it, or choose another with --port.")


def before_torch(env: Mapping[str, str], spaces: Any = None) -> Callable[[Draw], Draw]:
    """What has to happen before torch is imported; returns what to put around a function that draws.

    Imports the package `spaces` where it is installed; outside of Spaces it does nothing. In tests, `spaces` takes
    its place. Two libraries' warnings about their own future are kept from those who start the program.
    """
    for library in ("TRANSFORMERS", "DIFFUSERS"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    if spaces is None and importlib.util.find_spec("spaces"):
        spaces = importlib.import_module("spaces")
    if spaces is None or not on_zero_gpu(env):
        return lambda draw: draw
    return lambda draw: _marked(draw, spaces)


def _marked(draw: Draw, spaces: Any) -> Draw:
    """Of an error that is raised in the process of a marked call, nothing but the name comes out of it; so what is said
    to the visitor is handed out, and raised here. What is raised around it, where somebody has no quota left, say, is
    an error of Gradio's, with a sentence in `message`."""

    def carried(request: Request, session: str, /) -> Iterator[Event | UserError]:
        try:
            yield from draw(request, session)
        except UserError as error:
            yield error

    marked = spaces.GPU(duration=seconds)(carried)

    def drawn(request: Request, session: str, /) -> Iterator[Event]:
        try:
            with closing(marked(request, session)) as events:
                for event in events:
                    if isinstance(event, UserError):
                        raise event
                    yield event
        except UserError:
            raise
        except Exception as error:
            said = getattr(error, "message", None)
            if not isinstance(said, str) or getattr(error, "title", "") == "ZeroGPU worker error":
                raise  # of a fault in the worker, what is said is its class' name
            raise UserError(unescape(re.sub(r"<[^>]*>", "", said))) from error

    return drawn


def seconds(request: Request, session: str = "") -> int:
    """How long a drawing may take on ZeroGPU, at most; the quota is checked against it before anything runs.

    An estimate on the safe side that has not been measured there: 0.05 s for each evaluation at 1024 x 1024.
    """
    evaluations = request.prior_steps * _passes(request.prior_guidance)
    evaluations += request.decoder_steps * _passes(request.decoder_guidance)
    return min(120, 10 + round(0.05 * evaluations * request.images * request.width * request.height / 2**20))


def _passes(guidance: float) -> int:
    return 2 if guidance > 1 else 1
