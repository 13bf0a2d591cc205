"""The training loop of all stages: AdamW, warm-up and cosine decay, EMA weights, and state on disk.

Each step seeds the random numbers from its own number, so a resumed run equals an uninterrupted one.
"""

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

Modules = dict[str, nn.Module]
State = dict[str, Tensor]
SLOW_RATE = 0.05  #: Learning rate of `TrainingStage.slow`, relative to the others'.
WARMUP_STEPS = 200


@dataclass
class TrainingStage:
    """What the loop trains."""

    name: str
    modules: Modules
    loss: Callable[[int, float], Tensor]  #: Loss, a scalar, of a step, given the share of the stage that is done, 0..1.
    steps: int
    rate: float  #: Peak learning rate.
    write_samples: Callable[[int, Modules], None] = lambda steps, ema: None
    """Writes a sample sheet after so many steps, with the EMA weights."""
    samples_every: int = 2000
    slow: list[nn.Parameter] = field(default_factory=list)  #: Parameters that learn at SLOW_RATE.
    final_rate: float = 0.02  #: Learning rate at the end, relative to `rate`.
    ema_decay: float = 0.997
    save_every_s: float = 60.0  #: Interval between saved states: at most this much is lost by an interruption.
    time_limit_s: float = math.inf
    """Training time after which the stage ends. With a limit, a run depends on the machine's speed."""

    def learning_rate(self, step: int, progress: float) -> float:
        """Linear warm-up, then half a cosine from `rate` down to `final_rate`."""
        warm_up = min(1, (step + 1) / min(WARMUP_STEPS, self.steps // 10 + 1))
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return self.rate * warm_up * (self.final_rate + (1 - self.final_rate) * cosine)


def train(stage: TrainingStage, folder: Path, device: torch.device, half: torch.dtype | None) -> Modules:
    """Trains to the end, from the state in `folder / <name>.pt` if there is one, and returns modules with the EMA
    weights in evaluation mode. `half` is the type of autocast, None for none."""
    live = nn.ModuleDict(stage.modules)
    averaged = copy.deepcopy(live).eval().requires_grad_(False)
    ema, slow = dict(averaged.items()), {id(p) for p in stage.slow}
    fast = [p for p in live.parameters() if id(p) not in slow]
    groups = [{"params": fast, "scale": 1.0}, {"params": stage.slow, "scale": SLOW_RATE}]
    optimiser = torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    path, start, spent_s = folder / f"{stage.name}.pt", 0, 0.0
    if state := _read(path):
        _load_weights(stage.modules, state["modules"], path)
        _load_weights(ema, state["averaged"], path)
        if state["optimiser"] is not None:
            optimiser.load_state_dict(state["optimiser"])
        start, spent_s = int(state["step"]), float(state["spent"])
    started = saved = time.monotonic()
    smooth, step = 0.0, start

    def save(steps: int) -> None:
        live, mean = ({name: module.state_dict() for name, module in each.items()} for each in (stage.modules, ema))
        write_state(path, steps, live, mean, spent_s + time.monotonic() - started, optimiser.state_dict())

    for step in range(start, stage.steps):
        progress = max(step / stage.steps, (spent_s + time.monotonic() - started) / stage.time_limit_s)
        if progress >= 1:
            break
        torch.manual_seed(zlib.crc32(f"{stage.name}-{step}".encode()))
        for group in optimiser.param_groups:
            group["lr"] = stage.learning_rate(step, progress) * group["scale"]
        with torch.autocast(device.type, half, enabled=half is not None):
            loss = stage.loss(step, progress)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(live.parameters(), 1.0)
        optimiser.step()
        _update_ema(averaged, live, min(stage.ema_decay, (1 + step) / (20 + step)))
        if step % 20 == 0:
            value = loss.item()
            smooth = value if smooth == 0 else 0.9 * smooth + 0.1 * value
        now = time.monotonic()
        if step % 100 == 99:
            step_s = (now - started) / (step + 1 - start)
            left_s = min(step_s * (stage.steps - step - 1), stage.time_limit_s - spent_s - (now - started))
            done = f"{stage.name} {step + 1}/{stage.steps}  loss {smooth:.4f}"
            sys.stderr.write(f"{done}  {step_s:.3f} s per step  {left_s / 60:.1f} min left\n")
            sys.stderr.flush()
        if now - saved > stage.save_every_s:
            save(step + 1)
            saved = time.monotonic()
        if step % stage.samples_every == stage.samples_every - 1:
            stage.write_samples(step + 1, ema)
    if start < stage.steps:
        save(stage.steps)  # finished, so that the next run goes on to the next stage
        stage.write_samples(step + 1, ema)
    return ema


def load_ema(folder: Path, stage: str, modules: Modules, training: bool = False) -> Modules:
    """`modules` with the EMA weights that `stage` has saved so far, in training or evaluation mode.

    Raises SetupError if the stage has saved nothing yet, or weights of other networks.
    """
    _load_weights(modules, load_ema_weights(folder, stage), folder / f"{stage}.pt")
    for module in modules.values():
        module.train(training).requires_grad_(training)
    return modules


def load_ema_weights(folder: Path, stage: str) -> dict[str, State]:
    """Module name -> EMA weights that `stage` has saved so far. Raises SetupError if it has saved nothing yet."""
    state = _read(folder / f"{stage}.pt")
    if not state:
        raise SetupError(f"The stage '{stage}' has not been trained in {folder} yet; name it before this one.")
    weights: dict[str, State] = state["averaged"]
    return weights


def is_finished(folder: Path, stage: str, steps: int) -> bool:
    """Whether `stage` has made so many steps."""
    return bool(_read(folder / f"{stage}.pt").get("step", -1) >= steps)


def write_state(
    path: Path,
    step: int,
    modules: dict[str, State],
    averaged: dict[str, State],
    spent_s: float = 0.0,
    optimiser: dict[str, Any] | None = None,
) -> None:
    """Writes a state from which `train` continues at `step`: all of it or nothing."""
    partial = path.with_suffix(".partial")
    state = {"step": step, "spent": spent_s, "modules": modules, "averaged": averaged, "optimiser": optimiser}
    torch.save(state, partial)
    os.replace(partial, path)


def _read(path: Path) -> dict[str, Any]:
    """A saved state, or nothing. Its tensors are mapped: what is not needed of them is not read."""
    if not path.exists():
        return {}
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
    return state


@torch.no_grad()
def _update_ema(ema: nn.Module, live: nn.Module, decay: float) -> None:
    for mean, new in zip(ema.parameters(), live.parameters(), strict=True):
        mean.lerp_(new, 1 - decay)
    for buffer, new_buffer in zip(ema.buffers(), live.buffers(), strict=True):
        buffer.copy_(new_buffer)


def _load_weights(modules: Modules, weights: dict[str, State], path: Path) -> None:
    try:
        for name, module in modules.items():
            module.load_state_dict(weights[name])
    except RuntimeError as error:
        other = f"{path} was written by a version of this program with other networks"
        raise SetupError(f"{other}; continue with that version, or use another --folder.") from error
