"""Deployment of the page: a local machine, a Hugging Face Space, or a Space on ZeroGPU.

A Space listens on all addresses of its container and, with a GPU, uses the published checkpoint. On ZeroGPU the device
exists only inside a function that is marked for it. Everything is decided from the settings and the environment that
are passed in, before torch and Gradio are loaded.
"""

from __future__ import annotations

import dataclasses
import errno
import importlib
import importlib.util
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import closing
from html import unescape
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from wuerst_demo.checkpoints.registry import PUBLISHED_NAME
from wuerst_demo.errors import CheckpointError, SettingsError, UserError
from wuerst_demo.events import Event
from wuerst_demo.request import Request
from wuerst_demo.settings import OPTIONS, Settings
from wuerst_demo.timesteps import guided_evaluations
from wuerst_demo.web.context import RunRequest
from wuerst_demo.web.middleware.origin_check import AccessPolicy

NVIDIA_DEVICE_PATH = Path("/dev/nvidiactl")
"""Exists where a container has an NVIDIA GPU. Asking torch would initialize CUDA, too early for ZeroGPU."""
MAX_ZERO_GPU_CALL_S = 120
"""Longest call that ZeroGPU allows."""
CheckpointT = TypeVar("CheckpointT")


def on_space(env: Mapping[str, str]) -> bool:
    return "SPACE_ID" in env


def on_zero_gpu(env: Mapping[str, str]) -> bool:
    return env.get("SPACES_ZERO_GPU", "").lower() in ("1", "true")


def adapt_settings(settings: Settings, env: Mapping[str, str]) -> Settings:
    """The settings as this deployment supports them. Raises SettingsError for an option that it does not support.

    ZeroGPU keeps networks where they were at startup and runs every call in a process of its own: offload and
    compilation are not possible.
    """
    if not on_zero_gpu(env):
        return settings
    if settings.uses_fleet:
        raise SettingsError(
            "ZeroGPU lends one GPU for one call: leave --replicas and --ray (WUERST_REPLICAS, WUERST_RAY) out."
        )
    if settings.offload not in ("auto", "none"):
        raise SettingsError("On ZeroGPU all networks stay on the device: leave --offload (WUERST_OFFLOAD) out.")
    if settings.compile:
        raise SettingsError("Nothing can be compiled on ZeroGPU: leave --compile (WUERST_COMPILE) out.")
    return dataclasses.replace(settings, offload="none")


def print_status(line: str) -> None:
    """Print a line for the person who started the program."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def resolve_checkpoint(
    settings: Settings,
    env: Mapping[str, str],
    resolve: Callable[[str | None, str | None, str | None, tuple[str, ...]], CheckpointT],
    report: Callable[[str], object] = print_status,
    driver: Path = NVIDIA_DEVICE_PATH,
) -> CheckpointT:
    """The checkpoint of the page, from `resolve(model, prior, vqgan, loras)`. Raises CheckpointError.

    On a Space with a GPU and without --model it is the published one; if the Hub cannot deliver it, the one that ships
    with the demo, and `report` gets a line about it.
    """
    if settings.model is None and on_space(env) and (on_zero_gpu(env) or driver.exists()):
        try:
            return resolve(PUBLISHED_NAME, settings.prior, settings.vqgan, settings.lora)
        except CheckpointError as error:
            report(f"{error} Until then, the small checkpoint that ships with the demo is used.")
    return resolve(settings.model, settings.prior, settings.vqgan, settings.lora)


def resolve_address(settings: Settings, env: Mapping[str, str]) -> tuple[str, int]:
    """Host and port to listen on. Raises SettingsError if the port is in use or the host is not one of this machine.

    Called before anything slow is loaded. `serve` reports a port that is taken later.
    """
    host = "0.0.0.0" if on_space(env) and settings.host == OPTIONS["host"].default else settings.host
    try:
        family, kind, protocol, _, socket_address = socket.getaddrinfo(
            host.strip("[]"), settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(socket_address)
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: a name that no host can have
        raise SettingsError(f"--host {host} is no address; use 127.0.0.1, or 0.0.0.0 to let others in.") from error
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                raise port_in_use(settings.port) from error
            case errno.EACCES:
                raise SettingsError(f"Port {settings.port} is not ours to open; use --port above 1023.") from error
            case _:
                raise SettingsError(
                    f"--host {host} is not an address of this machine; use 127.0.0.1, or 0.0.0.0 to let others in."
                ) from error
    return f"[{host.strip('[]')}]" if ":" in host else host, settings.port


def bypass_proxy(env: MutableMapping[str, str], host: str) -> None:
    """Exempt this machine's own addresses from any proxy in `env`: Gradio requests its own page when it opens."""
    for name in ("NO_PROXY", "no_proxy"):
        if name == "NO_PROXY" or name in env:
            env[name] = ",".join(filter(None, (env.get(name), "127.0.0.1", "localhost", "::1", host.strip("[]"))))


def exposes_metrics(settings: Settings, env: Mapping[str, str]) -> bool:
    """Whether the page has `/healthz` and `/metrics`: not on a public page, unless --public-metrics."""
    return settings.public_metrics or not (settings.share or on_space(env))


def keeps_history(settings: Settings, env: Mapping[str, str], host: str) -> bool:
    """Whether finished images are kept and shown again: only if no other machine can open the page.

    A proxy that is named passes others on. A password alone keeps out the other users of this machine.
    """
    proxied = settings.allow_host or settings.root_path or settings.trusted_proxy
    shared = settings.share or on_space(env) or bool(settings.auth and proxied)
    return not settings.no_history and not shared and _is_loopback(host)


def access_policy(settings: Settings, env: Mapping[str, str], host: str) -> AccessPolicy:
    """Which host names and web sites may use a page that listens on `host`."""
    space = on_space(env)
    named = [*settings.allow_host, urlsplit(settings.root_path).netloc.lower()]
    named.append(f"{host.lower()}:{settings.port}")
    named += [env.get("SPACE_HOST", "").lower()] if space else []
    return AccessPolicy(
        loopback=_is_loopback(host) and not settings.share and not space,
        hosts=frozenset(filter(None, named)),
        origins=frozenset(settings.allow_origin),
        space=space,
    )


def tells_clients_apart(settings: Settings, env: Mapping[str, str]) -> bool:
    """Whether clients have addresses of their own: not behind a Space's proxy, unless --trusted-proxy names it."""
    return bool(settings.trusted_proxy) or not on_space(env)


def _is_loopback(host: str) -> bool:
    try:
        addresses = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
        return all(ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in addresses)
    except (OSError, ValueError):
        return False


def port_in_use(port: int) -> SettingsError:
    return SettingsError(f"Port {port} is in use; stop the program that has it, or choose another with --port.")


def prepare_zero_gpu(env: Mapping[str, str], spaces: Any = None) -> Callable[[RunRequest], RunRequest]:
    """Prepare the process before torch is imported; returns a wrapper for the function that runs a request.

    Imports the package `spaces` where it is installed (tests pass a fake). The wrapper does nothing except on ZeroGPU.
    """
    if spaces is None and importlib.util.find_spec("spaces"):
        spaces = importlib.import_module("spaces")
    if spaces is None or not on_zero_gpu(env):
        return lambda run: run
    return lambda run: _wrap_for_zero_gpu(run, spaces)


def _wrap_for_zero_gpu(run: RunRequest, spaces: Any) -> RunRequest:
    """`run` as a marked call, which ZeroGPU runs in a process of its own.

    An exception loses all but its class name on the way out of that process, so a UserError is yielded as a value and
    raised here. ZeroGPU's own exceptions, such as an exceeded quota, carry their text as HTML in `message`.
    """

    def yield_errors(request: Request, session: str, /) -> Iterator[Event | UserError]:
        try:
            yield from run(request, session)
        except UserError as error:
            yield error

    marked = spaces.GPU(duration=max_duration_s)(yield_errors)

    def wrapper(request: Request, session: str, /) -> Iterator[Event]:
        try:
            with closing(marked(request, session)) as events:
                for event in events:
                    if isinstance(event, UserError):
                        raise event
                    yield event
        except UserError:
            raise
        except Exception as error:
            text = getattr(error, "message", None)
            if not isinstance(text, str) or getattr(error, "title", "") == "ZeroGPU worker error":
                raise  # an internal error in the worker: the text is its class name
            raise UserError(unescape(re.sub(r"<[^>]*>", "", text))) from error

    return wrapper


def max_duration_s(request: Request, session: str = "") -> int:
    """Longest expected duration on ZeroGPU, which checks the quota against it before the call.

    A generous estimate, not measured there: 0.05 s for each evaluation at 1024 x 1024.
    """
    evaluations = sum(1 + guided for stage in ("prior", "decoder") for guided in guided_evaluations(request, stage))
    megapixels = request.images * request.width * request.height / 2**20
    return min(MAX_ZERO_GPU_CALL_S, 10 + round(0.05 * evaluations * megapixels))
