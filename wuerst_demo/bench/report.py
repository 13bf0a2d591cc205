"""What `bench crowd` says: what was measured on what, and for each crowd a line a way. Does not know who drew."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wuerst_demo.bench.tally import Round, summary
from wuerst_demo.request import Request

WAYS = ("stock", "stock, one prompt", "ours")
COLUMNS = (
    f"{'':<20}{'pictures/s':>11}{'preview':>9}{'p95':>9}{'last':>9}{'picture':>10}{'p95':>9}"
    f"{'Jain':>8}{'MiB':>7}{'processor':>11}"
)


@dataclass(frozen=True)
class Setting:
    """What all crowds have in common. `carried` is how many pictures a second stock alone makes, by shapes."""

    checkpoint: str
    machine: str
    device: str
    dtype: str
    rows_at_once: int
    versions: Mapping[str, str]
    request: Request
    carried: Mapping[str, float]

    def facts(self) -> dict[str, Any]:
        """Plain data."""
        own = ("checkpoint", "machine", "device", "dtype", "rows_at_once")
        asked = ("width", "height", "prior_steps", "prior_schedule", "prior_guidance")
        return {
            **{name: getattr(self, name) for name in own},
            "versions": dict(self.versions),
            "request": {name: getattr(self.request, name) for name in (*asked, "decoder_steps", "decoder_guidance")},
            "stock_alone_pictures_per_s": dict(self.carried),
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        r = self.request
        yield f"{self.checkpoint}, {r.width} x {r.height}, each person asks for one picture"
        yield (
            f"prior {r.prior_steps} steps ({r.prior_schedule}), guidance {r.prior_guidance:g};"
            f" decoder {r.decoder_steps} steps, guidance {r.decoder_guidance:g}; {self.rows_at_once} rows at once"
        )
        yield f"{self.machine}; {self.device}, {self.dtype}"
        yield ", ".join(f"{name} {version}" for name, version in self.versions.items())
        alone = ", ".join(f"{rate:.3f} ({shape} shapes)" for shape, rate in self.carried.items())
        yield f"stock alone, one after another: {alone} pictures a second"
        yield ""
        yield "Seconds from coming until a preview and until the picture: median, p95, and that of whoever saw the"
        yield "first preview last. Jain's index of the people's speeds. Most memory, above that after loading."
        yield "Seconds that the processor worked for a picture, which compare better on a busy machine."
        yield ""
        yield COLUMNS


@dataclass(frozen=True)
class Crowd:
    """So many people, coming at this load (percent of what stock carries, 0: at once) with these shapes ("same" or
    "mixed"), and the rounds in which each way served them."""

    people: int
    load: int
    shape: str
    rounds: Mapping[str, list[Round]] = field(default_factory=lambda: {way: [] for way in WAYS})

    @property
    def ratios(self) -> list[float]:
        """Our pictures a second for one of stock's, round by round."""
        return [ours.rate / stock.rate for ours, stock in zip(self.rounds["ours"], self.rounds["stock"], strict=True)]

    @property
    def processor_ratios(self) -> list[float]:
        """The processor's seconds for a picture of stock's, for one of ours, round by round."""
        pairs = zip(self.rounds["stock"], self.rounds["ours"], strict=True)
        return [stock.processor / ours.processor for stock, ours in pairs]

    @property
    def title(self) -> str:
        comes = f"at {self.load} % of what stock can carry" if self.load else "at once"
        return f"{self.people} {'person' if self.people == 1 else 'people'}, {comes}, {self.shape} shapes"

    def facts(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "people": self.people,
            "load_percent": self.load,
            "shapes": self.shape,
            "ours_for_one_of_stock": statistics.median(self.ratios),
            "processor_ours_for_one_of_stock": statistics.median(self.processor_ratios),
            "ratios": self.ratios,
            "processor_ratios": self.processor_ratios,
            **{way: summary(rounds) for way, rounds in self.rounds.items()},
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        by_clock, by_processor = statistics.median(self.ratios), statistics.median(self.processor_ratios)
        yield f"{self.title}: ours / stock {by_clock:.2f} by the clock, {by_processor:.2f} by the processor's time"
        for way, rounds in self.rounds.items():
            found = summary(rounds)
            previews = [found["preview_median_s"], found["preview_p95_s"], found["preview_last_s"]]
            yield (
                f"  {way:<18}{found['pictures_per_s']:>11.3f}"
                + "".join(f"{'-' if each is None else f'{each:.2f}':>9}" for each in previews)
                + f"{found['picture_median_s']:>10.2f}{found['picture_p95_s']:>9.2f}"
                + f"{found['fairness']:>8.3f}{found['peak_bytes'] / 2**20:>7.0f}"
                + f"{found['processor_s_per_picture']:>11.2f}"
            )
