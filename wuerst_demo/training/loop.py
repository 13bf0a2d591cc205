"""One training loop for all stages: optimiser, learning rate, EMA, saving, going on, and a line of progress.

Every step draws its own random numbers from its own number, so a run that goes on after an interruption equals one
that was never interrupted. Does not know what is being trained.
"""

from __future__ import annotations

import copy
import math
import os
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wuerst_demo.errors import SetupError


@dataclass
class Stage:
    """What the loop trains. `loss(step)` computes the loss of one step; `sheet(step)` draws a sample sheet.

    `slow` holds parameters that learn at a twentieth of the rate.
    """

    name: str
    modules: dict[str, nn.Module]
    loss: Callable[[int], Tensor]
    steps: int
    rate: float
    sheet: Callable[[int], None] = lambda step: None
    sheet_every: int = 2000
    slow: list[nn.Parameter] = field(default_factory=list)
    last_rate: float = 0.02
    """The rate at the end of the stage, as a share of `rate`."""
    ema_decay: float = 0.997
    done: float = 0.0
    """Share of the stage that lies behind, 0..1; set by the loop before every step."""
    save_every: float = 60.0
    """Seconds; no more than this is lost at an interruption."""
    limit: float = math.inf
    """Seconds of training after which the stage ends, however many steps it has made. A run with a limit depends on
    the machine's speed and cannot be repeated exactly."""


def run(stage: Stage, folder: Path, device: torch.device, half: torch.dtype | None) -> dict[str, nn.Module]:
    """Trains to the end (or goes on where a saved state stands) and returns the EMA's modules in eval mode.

    `half` is the type of autocast, None for none. State lives in `folder / <name>.pt`.
    """
    averaged = {name: copy.deepcopy(module).eval().requires_grad_(False) for name, module in stage.modules.items()}
    slow = {id(parameter) for parameter in stage.slow}
    parameters = [p for module in stage.modules.values() for p in module.parameters()]
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if id(p) not in slow], "scale": 1.0},
            {"params": stage.slow, "scale": 0.05},
        ],
        lr=stage.rate,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    path = folder / f"{stage.name}.pt"
    start, spent = _restore(path, stage, averaged, optimiser)
    began, saved, smooth, since, step = time.monotonic(), time.monotonic(), 0.0, start, start
    warm = min(200, stage.steps // 10 + 1)
    for step in range(start, stage.steps):
        stage.done = max(step / stage.steps, (spent + time.monotonic() - began) / stage.limit)
        if stage.done >= 1:
            break
        torch.manual_seed(zlib.crc32(f"{stage.name}-{step}".encode()))
        rate = (
            stage.rate
            * min(1, (step + 1) / warm)
            * (stage.last_rate + (1 - stage.last_rate) * 0.5 * (1 + math.cos(math.pi * stage.done)))
        )
        for group in optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        with torch.autocast(device.type, half, enabled=half is not None):
            loss = stage.loss(step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        _average(averaged, stage.modules, min(stage.ema_decay, (1 + step) / (20 + step)))
        if step % 20 == 0:
            value = loss.item()
            smooth = value if smooth == 0 else 0.9 * smooth + 0.1 * value
        now = time.monotonic()
        if step % 100 == 99:
            each = (now - began) / (step + 1 - since)
            left = min(each * (stage.steps - step - 1), stage.limit - spent - (now - began))
            done = f"{stage.name} {step + 1}/{stage.steps}  loss {smooth:.4f}"
            sys.stderr.write(f"{done}  {each:.3f} s a step  {left / 60:.1f} min left\n")
            sys.stderr.flush()
        if now - saved > stage.save_every:
            _save(path, step + 1, spent + now - began, stage, averaged, optimiser)
            saved = time.monotonic()
        if step % stage.sheet_every == stage.sheet_every - 1:
            _sheet(stage, averaged, step + 1)
    if start < stage.steps:
        # said to be done, so that the next run goes on to the next stage
        _save(path, stage.steps, spent + time.monotonic() - began, stage, averaged, optimiser)
        _sheet(stage, averaged, step + 1)
    return averaged


def averaged(folder: Path, stage: str, modules: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """`modules` with the averaged weights that `stage` has saved so far, in evaluation mode.

    Raises SetupError where the stage has saved nothing yet, or other networks.
    """
    saved = weights(folder, stage)
    for name, module in modules.items():
        _load(module, saved[name], folder / f"{stage}.pt")
        module.eval().requires_grad_(False)
    return modules


def _load(module: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Raises SetupError where the weights are those of other layers."""
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        other = f"{path} was written by a version of this program with other networks"
        raise SetupError(f"{other}; go on with that one, or give another --folder.") from error


def weights(folder: Path, stage: str) -> dict[str, dict[str, Tensor]]:
    """The averaged weights that `stage` has saved so far: module -> its state.

    Raises SetupError where the stage has saved nothing yet.
    """
    path = folder / f"{stage}.pt"
    if not path.exists():
        raise SetupError(f"The stage '{stage}' has not been trained in {folder} yet; name it before this one.")
    found: dict[str, dict[str, Tensor]] = torch.load(path, weights_only=True, map_location="cpu")["averaged"]
    return found


def finished(folder: Path, stage: str, steps: int) -> bool:
    """Whether `stage` has made so many steps."""
    path = folder / f"{stage}.pt"
    # mapped, not read: one number is asked for, beside megabytes of weights
    return path.exists() and int(torch.load(path, weights_only=True, map_location="cpu", mmap=True)["step"]) >= steps


def begin_with(folder: Path, stage: str, step: int, state: dict[str, dict[str, Tensor]]) -> None:
    """Writes a state of `stage` from which `run` goes on at `step`, with these weights and a fresh optimiser."""
    _write(
        folder / f"{stage}.pt",
        {"step": step, "spent": 0.0, "modules": state, "averaged": state, "optimiser": None},
    )


def taken_up(folder: Path, stage: str, modules: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """As `averaged`, for another stage to train them further."""
    for module in averaged(folder, stage, modules).values():
        module.train().requires_grad_(True)
    return modules


def _sheet(stage: Stage, averaged: dict[str, nn.Module], step: int) -> None:
    """A sample sheet by the averaged weights."""
    live, stage.modules = stage.modules, averaged
    try:
        stage.sheet(step)
    finally:
        stage.modules = live


def _average(averaged: dict[str, nn.Module], live: dict[str, nn.Module], decay: float) -> None:
    with torch.no_grad():
        for name, module in averaged.items():
            for mine, theirs in zip(module.parameters(), live[name].parameters(), strict=True):
                mine.lerp_(theirs, 1 - decay)
            for kept, new in zip(module.buffers(), live[name].buffers(), strict=True):
                kept.copy_(new)


def _save(
    path: Path,
    step: int,
    spent: float,
    stage: Stage,
    averaged: dict[str, nn.Module],
    optimiser: torch.optim.Optimizer,
) -> None:
    state = {
        "step": step,
        "spent": spent,
        "modules": {name: module.state_dict() for name, module in stage.modules.items()},
        "averaged": {name: module.state_dict() for name, module in averaged.items()},
        "optimiser": optimiser.state_dict(),
    }
    _write(path, state)


def _write(path: Path, state: dict[str, Any]) -> None:
    """All of it or nothing, whenever it is interrupted."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def _restore(
    path: Path, stage: Stage, averaged: dict[str, nn.Module], optimiser: torch.optim.Optimizer
) -> tuple[int, float]:
    """The step to go on from and the seconds trained before it; 0 where nothing was saved."""
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True, map_location="cpu")
    for name, module in stage.modules.items():
        _load(module, state["modules"][name], path)
        _load(averaged[name], state["averaged"][name], path)
    if state["optimiser"] is not None:
        optimiser.load_state_dict(state["optimiser"])
    return int(state["step"]), float(state["spent"])
