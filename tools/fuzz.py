"""Fuzzing of everything that reads what comes from outside: seeded, bounded, without the network.

    make fuzz                                           # 100,000 inputs over all targets, a new seed
    make fuzz ARGS="--seed 7 --only card --input 12"    # one input again, with its traceback

An input is a valid example whose words, numbers and punctuation were replaced, deleted, doubled, swapped or nested. It
passes where the reader, the same one that the program uses, answers or raises a WuerstError within its time: 100 ms for
a file, 20 ms for text, of the processor. A slow input is tried three times, so that a busy machine does not count. Each
kind of failure is one line with what repeats it, and each target one with the time of its slowest input.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.fuzz_target import Target
from tools.fuzz_targets import list_targets
from wuerst_demo.errors import WuerstError

TRIES = 3
HANG_S = 20
"""Time after which an input is given up."""
MAX_INPUT_BYTES = 2**20
HOSTILE_NUMBERS = (
    *("0", "-0", "-1", "1e400", "-1e400", "1e-320", "NaN", "Infinity", "9" * 400, "9" * 4400, "1" + "0" * 308),
    *("0x10", "1_000", "1,5", "\u0663", "\u00bd", "0.1" + "0" * 4400, str(2**31), str(2**32), str(2**63), str(2**64)),
    *("true", "null", '""', "[]", "{}", "[[1]]", '{"a": 1}', "[0, 1, 2, 3]", "1" + ", 1" * 5000),
)
HOSTILE_WORDS = (
    *("true", "null", '""', "[]", "{}", "-", "..", "../..", "/", "\\", "\\u0000", "\\ud800", "%00", "%ff", "%F0%9F"),
    *("\0", "\u202e", "\u00e9", "\U0001f32d", "\r\n", "\n", "\t", "\ufeff", "\u2028", " " * 50, "A" * 3000, "a " * 900),
)
_TOKEN = re.compile(rb"[A-Za-z_]+|[0-9]+(?:\.[0-9]+)?|\s+|.", re.DOTALL)
_VALUE = re.compile(rb'"[^"\\]*"(?!\s*:)|(?<![A-Za-z0-9."])-?[0-9][0-9.]*|\b(?:true|false|null)\b')
_BRACKETS = ((b"(", b")"), (b"[", b"]"), (b"{", b"}"), (b'{"a":', b"}"), (b'"', b'"'))


def change(data: bytes, words: Sequence[str], draw: random.Random) -> bytes:
    """The input with one to four changes, most of them of whole tokens."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        kind = draw.random()
        if kind < 0.15:
            data = _change_bytes(data, draw)
        elif kind < 0.5:
            data = _change_value(data, words, draw)
        else:
            data = _change_tokens(data, words, draw)
    return data[:MAX_INPUT_BYTES]


def _change_tokens(data: bytes, words: Sequence[str], draw: random.Random) -> bytes:
    tokens = _TOKEN.findall(data)
    at, other = draw.randint(0, len(tokens)), draw.randint(0, len(tokens))
    end = min(len(tokens), at + draw.choice((0, 1, 1, 1, 1, 2, 8, 64)))
    part = b"".join(tokens[at:end])
    match draw.randrange(6):
        case 0:
            part = b""
        case 1:
            part *= draw.choice((2, 2, 3, 100))
        case 2 if other < at:
            part, tokens[other] = tokens[other], part
        case 3:
            before, after = draw.choice(_BRACKETS)
            count = draw.choice((1, 1, 2, 60, 1000, 20_000))
            part = before * count + part + (after * count if draw.random() < 0.7 else b"")
        case _:
            part = _hostile(words, draw)
    return b"".join((*tokens[:at], part, *tokens[end:]))


def _change_value(data: bytes, words: Sequence[str], draw: random.Random) -> bytes:
    """A hostile value in place of a number, a quoted text or a word: what is around it stays valid."""
    values = list(_VALUE.finditer(data))
    if not values:
        return data
    found = draw.choice(values)
    return data[: found.start()] + _hostile(words, draw) + data[found.end() :]


def _hostile(words: Sequence[str], draw: random.Random) -> bytes:
    word = draw.choice(draw.choice((words or HOSTILE_WORDS, HOSTILE_WORDS, HOSTILE_NUMBERS)))
    return word.encode("utf-8", "surrogatepass")


def _change_bytes(data: bytes, draw: random.Random) -> bytes:
    at = draw.randint(0, len(data))
    end = min(len(data), at + draw.choice((1, 2, 4, 16, 1000)))
    return data[:at] + draw.choice((b"", draw.randbytes(end - at), data[at:end] * 3)) + data[end:]


def make_input(name: str, target: Target, seed: int, number: int) -> bytes:
    """Input `number` of a target, the same for the same seed."""
    draw = random.Random(f"{seed} {name} {number}")
    return target.fix(change(draw.choice(target.examples), target.words, draw))


@dataclass(frozen=True)
class Outcome:
    """How an input was read."""

    failure: BaseException | None
    """What is wrong with it."""
    seconds: float = 0.0
    """Processor time of the quickest try."""


def try_input(target: Target, data: bytes) -> Outcome:
    """Read an input."""
    quickest = float("inf")
    for _ in range(TRIES):
        start = time.thread_time()
        try:
            with _give_up_after(HANG_S):
                target.read(data)
        except WuerstError as error:
            if "\n" in str(error):
                return Outcome(AssertionError("an error message of more than one line"))
        except Exception as error:  # noqa: BLE001 - whatever else is what this looks for
            return Outcome(error)
        quickest = min(quickest, time.thread_time() - start)
        if quickest <= target.bound_s:
            return Outcome(None, quickest)
    return Outcome(TimeoutError(f"took longer than {1000 * target.bound_s:.0f} ms"), quickest)


@contextmanager
def _give_up_after(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the main thread after this time, where signals allow it."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def give_up(*_: object) -> None:
        raise TimeoutError("did not end")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def describe(failure: BaseException) -> str:
    """Kind of a failure: its class, the place in the program, and the beginning of its text without numbers."""
    frames = [each for each in traceback.extract_tb(failure.__traceback__) if "wuerst_demo" in each.filename]
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(failure).__name__}{place}: {re.sub('[0-9]+', 'N', str(failure))[:80]!r}"


def run(seed: int, count: int, only: str = "", number: int | None = None) -> int:
    """Try `count` inputs over all targets, or one input of one target; the number of failures."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = {name: each for name, each in list_targets(Path(folder)).items() if only in ("", name)}
        if number is not None:
            data = make_input(only, chosen[only], seed, number)
            failure = try_input(chosen[only], data).failure
            print(f"{data[:2000]!r}\n{''.join(traceback.format_exception(failure)) if failure else 'passes'}")
            return int(failure is not None)
        failures = 0
        print(f"{count // len(chosen):,} inputs for each of {len(chosen)} targets", flush=True)
        for name, target in chosen.items():
            kinds: Counter[str] = Counter()
            slowest_s, slowest = 0.0, 0
            for k in range(count // len(chosen)):
                outcome = try_input(target, make_input(name, target, seed, k))
                slowest_s, slowest = max((slowest_s, slowest), (outcome.seconds, k))
                if outcome.failure is not None:
                    kinds[kind := describe(outcome.failure)] += 1
                    if kinds[kind] == 1:
                        print(f"{name}: {kind}; again: --seed {seed} --only {name} --input {k}", flush=True)
            failures += kinds.total()
            most = f"input {slowest} took {1000 * slowest_s:.1f} of {1000 * target.bound_s:.0f} ms"
            print(f"{name}: {kinds.total()} failures of {len(kinds)} kinds; {most}", flush=True)
    return failures


def main(argv: Sequence[str]) -> int:
    """Run from the command line; exit code 1 where an input failed."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000, help="inputs in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the inputs; printed")
    parser.add_argument("--only", default="", help="one target")
    parser.add_argument("--input", type=int, help="one input of --only, by its number")
    given = parser.parse_args(argv)
    print(f"Seed {given.seed}", flush=True)
    return min(1, run(given.seed, given.count, given.only, given.input))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
