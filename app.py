"""The page: settings, checkpoint, engine, page, launch, in this order. `python app.py --help` lists the options.

Runs unchanged as a Hugging Face Space; what that changes is decided in `wuerst_demo.ui.hosting`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from wuerst_demo import streams
from wuerst_demo.errors import WuerstError
from wuerst_demo.history.history import History
from wuerst_demo.settings import Settings
from wuerst_demo.ui import hosting
from wuerst_demo.ui.plain import Plain
from wuerst_demo.ui.seats import KEPT
from wuerst_demo.ui.studio import Engine, Studio

GRACE = 30.0
"""Seconds for which a drawing goes on though its page has gone: long enough for a refresh."""


def main(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Open the page and stay. Exit code 2, and one line, for what cannot be done as it was asked for."""
    streams.forgive()
    try:
        _open(argv, env)
    except WuerstError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        streams.discard()
        return streams.GONE
    return 0


def _open(argv: Sequence[str], env: Mapping[str, str]) -> None:
    # Imports stand where they are needed: what can be refused is refused before anything slow is loaded.
    settings = hosting.placed(Settings.read(argv, env), env)
    host, port = hosting.address(settings, env)
    draw_with = hosting.before_torch(env)
    from wuerst_demo.model.files import locate
    from wuerst_demo.model.placement import foresee

    ready = partial(foresee, **settings.placement, lora=bool(settings.lora))
    located = hosting.found(settings, env, partial(locate, ready=ready))
    from wuerst_demo.about import running
    from wuerst_demo.api import load_located
    from wuerst_demo.engine.local import STAY, Local
    from wuerst_demo.engine.metrics import Metrics
    from wuerst_demo.model.usage import used
    from wuerst_demo.pictures import save
    from wuerst_demo.ui.serve import serve
    from wuerst_demo.ui.vitals import Vitals

    wuerstchen = load_located(located, **settings.placement)
    hosting.say(wuerstchen.placement.reason)
    if compiled := wuerstchen.warm_up():
        hosting.say(compiled)
    history = History(Path(settings.output)) if hosting.keeps(settings, env, host) else None
    if history:
        hosting.say(f"Finished pictures are kept in {history.root}; --no-history keeps none.")
    with ExitStack() as stack:
        if hosting.on_zero_gpu(env):  # the device is there only inside the marked call, and in no thread of ours
            engine: Engine = Plain(draw_with(lambda request, session: wuerstchen.run(request)))
            vitals = None
        else:
            metrics = Metrics()
            stay = STAY if wuerstchen.placement.offload == "model" else 0  # where it costs time to change the network
            local = Local(wuerstchen.cascade, grace=GRACE, kept=KEPT, watch=metrics, stay=stay)
            metrics.ask(lambda: local.standing, partial(used, wuerstchen.placement.device))
            engine, vitals = stack.enter_context(local), Vitals(local.health, metrics.text)
        studio = Studio(
            limits=wuerstchen.limits,
            engine=engine,
            read=wuerstchen.read,
            save=partial(save, checkpoint=wuerstchen.name, revision=wuerstchen.revision),
            checkpoint=wuerstchen.title,
            device=wuerstchen.placement.device,
            examples=wuerstchen.examples,
            knows=wuerstchen.knows,
            things=wuerstchen.things,
            revision=wuerstchen.revision,
            running=running(located, wuerstchen.placement),
            history=history,
        )
        serve(studio, settings, host, port, vitals if hosting.watched(settings, env) else None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
