"""The web page: settings, checkpoint, engine, page, launch.

Runs as a Hugging Face Space, too; what that changes is decided in `wuerst_demo.web.deployment`.
"""

from __future__ import annotations

import gc
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wuerst_demo.engine.zerogpu import GeneratorEngine
from wuerst_demo.errors import StorageError
from wuerst_demo.history.store import HistoryStore
from wuerst_demo.paths import user_cache_folder
from wuerst_demo.settings import Settings
from wuerst_demo.web import deployment
from wuerst_demo.web.context import AnyEngine, ParsePrompt, RunRequest, WebContext
from wuerst_demo.web.example_pictures import SHIPPED_FOLDER, ExamplePictures, IdleGenerator, list_example_requests
from wuerst_demo.web.middleware.health import HealthRoutes
from wuerst_demo.web.shared.sessions import SESSION_TTL_S
from wuerst_demo.web.shared.temp_folders import delete_own_folder

if TYPE_CHECKING:
    from wuerst_demo.checkpoints.manifest import ResolvedCheckpoint

DISCONNECT_GRACE_S = 30.0
"""Time that a request goes on after its page has disconnected: long enough for a reload."""


def run_page(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Open the page and serve it until interrupted, then end the process.

    Raises WuerstError where the page cannot be opened as requested.
    """
    _serve_page(argv, env)
    delete_own_folder()
    with suppress(AttributeError, OSError, ValueError):  # no console, or a closed one
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)  # at once: the interpreter's own end takes torch seconds


@dataclass(frozen=True)
class _Generating:
    """What generates for the page, in this process or in others."""

    engine: AnyEngine
    parse_prompt: ParsePrompt
    device: str
    runtime: Mapping[str, str]
    health: HealthRoutes | None = None
    fleet_status: Callable[[], str] | None = None


def _serve_page(argv: Sequence[str], env: Mapping[str, str]) -> None:
    # Imported where needed: mistakes are reported before anything slow is loaded.
    settings = deployment.adapt_settings(Settings.read(argv, env), env)
    host, port = deployment.resolve_address(settings, env)
    wrap_run = deployment.prepare_zero_gpu(env)
    if settings.uses_fleet:
        from wuerst_demo.cli.fleet import check_fleet

        check_fleet(settings)
    with _without_collections():
        from wuerst_demo.api import open_checkpoint

        checkpoint = deployment.resolve_checkpoint(settings, env, partial(open_checkpoint, options=settings.placement))
        from wuerst_demo.images.files import save_animation, save_image
        from wuerst_demo.web.server import serve

    with ExitStack() as stack:
        if settings.uses_fleet:
            generating = _start_fleet(settings, checkpoint, stack)
        else:
            generating = _start_engine(settings, env, checkpoint, wrap_run, stack)
        history = HistoryStore(Path(settings.output)) if deployment.keeps_history(settings, env, host) else None
        if history:
            with suppress(StorageError):  # the History tab says what is wrong with the folder
                history.delete_partial_files()
            deployment.print_status(f"Finished pictures are kept in {history.root}; --no-history keeps none.")
        examples = _example_pictures(checkpoint, env)
        idle: IdleGenerator | None = None
        if not isinstance(generating.engine, GeneratorEngine):  # on ZeroGPU, time on the device is the user's
            idle = IdleGenerator(generating.engine, examples, list_example_requests(checkpoint.info))
            stack.callback(idle.stop)
            idle.start()
        context = WebContext(
            checkpoint=checkpoint.info,
            engine=generating.engine,
            parse_prompt=generating.parse_prompt,
            save_image=partial(save_image, checkpoint=checkpoint.name, revision=checkpoint.revision, durable=False),
            save_animation=partial(
                save_animation, checkpoint=checkpoint.name, revision=checkpoint.revision, durable=False
            ),
            device=generating.device,
            revision=checkpoint.revision,
            runtime=generating.runtime,
            fleet_status=generating.fleet_status,
            history=history,
            example_picture=examples.read,
            pause_idle_work=idle.pause if idle else nullcontext,
        )
        health = generating.health if deployment.exposes_metrics(settings, env) else None
        serve(context, settings, host, port, health)


@contextmanager
def _without_collections() -> Iterator[None]:
    """No garbage collections while modules are imported, which would look through all of them a dozen times, and none
    of them in later ones."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _start_engine(
    settings: Settings,
    env: Mapping[str, str],
    checkpoint: ResolvedCheckpoint,
    wrap_run: Callable[[RunRequest], RunRequest],
    stack: ExitStack,
) -> _Generating:
    """An engine in this process."""
    from wuerst_demo.api import load_checkpoint
    from wuerst_demo.cli.info import runtime_summary
    from wuerst_demo.devices.hardware import memory_usage
    from wuerst_demo.engine.engine import MAX_EXTRA_STEPS_PER_NETWORK, Engine
    from wuerst_demo.engine.metrics import Metrics

    wuerstchen = load_checkpoint(checkpoint, settings.placement)
    placement, runtime = wuerstchen.placement, runtime_summary(checkpoint, wuerstchen.placement)
    deployment.print_status(placement.reason)
    if compiled := wuerstchen.warm_up():
        deployment.print_status(compiled)
    if deployment.on_zero_gpu(env):  # the device exists only inside the marked call
        run = wrap_run(lambda request, session: wuerstchen.run(request))
        return _Generating(GeneratorEngine(run), wuerstchen.parse_prompt, placement.device, runtime)
    metrics = Metrics()
    engine = Engine(
        wuerstchen.cascade,
        grace_s=DISCONNECT_GRACE_S,
        keep_s=SESSION_TTL_S,
        max_extra_steps=MAX_EXTRA_STEPS_PER_NETWORK if placement.offload == "model" else 0,
        observer=metrics,
    )
    stack.enter_context(engine)
    metrics.add_gauges(lambda: engine.stage_counts, partial(memory_usage, placement.device))
    health = HealthRoutes(engine.health, metrics.render)
    return _Generating(engine, wuerstchen.parse_prompt, placement.device, runtime, health)


def _start_fleet(settings: Settings, checkpoint: ResolvedCheckpoint, stack: ExitStack) -> _Generating:
    """Replicas in other processes; this one only reads prompts."""
    from wuerst_demo.api import load_prompt_parser
    from wuerst_demo.cli.fleet import start_fleet
    from wuerst_demo.fleet import status

    parse_prompt = load_prompt_parser(checkpoint)
    running = start_fleet(settings, checkpoint, DISCONNECT_GRACE_S, SESSION_TTL_S)
    stack.callback(running.supervisor.close)
    deployment.print_status(running.description.reason)
    return _Generating(
        running.fleet,
        parse_prompt,
        running.description.device,
        running.runtime,
        HealthRoutes(partial(status.health, running.fleet), running.metrics.render),
        partial(status.status_text, running.fleet),
    )


def _example_pictures(checkpoint: ResolvedCheckpoint, env: Mapping[str, str]) -> ExamplePictures:
    """The pictures that ship with the checkpoint, unless a part of it was replaced, and those in the user's cache."""
    from wuerst_demo.checkpoints.manifest import checkpoint_fingerprint

    name = hashlib.sha256(f"{checkpoint_fingerprint(checkpoint)} {checkpoint.name}".encode()).hexdigest()[:32]
    whole = " + " not in checkpoint.name
    shipped = checkpoint.decoder.weights[0].path.parent.parent / SHIPPED_FOLDER if whole else None
    return ExamplePictures(shipped, user_cache_folder(env) / "examples" / name)
