"""The figures of a day with a GPU as Markdown, for docs/benchmarks.md."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

STAGES = ("text", "prior", "decoder", "vqgan")


def format_report(records: Sequence[Mapping[str, Any]]) -> str:
    """Markdown of the records of `gpu_day.measure`, in their order; what was not measured is left out."""
    found = {record["case"]: record for record in records if "failed" not in record}
    blocks = [
        *_format_environment(found.get("environment")),
        *_format_images(found),
        *_format_crowds(found),
        *_format_cocktail(found.get("cocktail")),
        *_format_profile(found.get("profile")),
        *(f"Not measured: {record['case']} ({record['failed']})." for record in records if "failed" in record),
    ]
    return "\n\n".join(blocks)


def _format_environment(facts: Mapping[str, Any] | None) -> Iterator[str]:
    if facts:
        request, versions = facts["request"], facts["versions"]
        yield (
            f"{facts['device']}, {facts['dtype']}; {facts['machine']};"
            f" {', '.join(f'{name} {version}' for name, version in versions.items())}. Networks of random weights,"
            f" {request['width']} x {request['height']}, {request['prior_steps']} and {request['decoder_steps']} steps,"
            f" {facts['operations'] / 1e12:.1f} T operations an image; large matrices multiply at"
            f" {facts['matrix_peak'] / 1e12:.1f} T operations a second. `wuerst bench gpu-day`:"
        )


def _format_images(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """One row for each case that generates images alone."""
    stock, environment = found.get("stock"), found.get("environment")
    rows = []
    for name, facts in found.items():
        if "first_s" not in facts:
            continue
        seconds = facts["seconds"]
        ratio = f"{stock['seconds']['total'] / seconds['total']:.2f}" if stock else ""
        share = ""
        if environment and name in ("ours", "ours compiled"):
            share = f"{environment['operations'] / environment['matrix_peak'] / seconds['total']:.0%}"
        stages = [f"{seconds[stage]:.3f}" if stage in seconds else "" for stage in STAGES]
        rows.append([name, f"{seconds['total']:.3f}", ratio, *stages, f"{facts['first_s']:.1f}", *_peak(facts), share])
    if rows:
        header = ["", "s an image", "stock / this", *STAGES, "first image", "peak GB", "of the matrix peak"]
        yield _format_table(header, rows)


def _format_crowds(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    rows = [
        [facts["clients"], f"{facts['images_per_s']:.3f}", f"{facts['last_image_s']:.2f}", *_peak(facts)]
        for facts in found.values()
        if "clients" in facts
    ]
    if rows:
        yield _format_table(["clients at once", "images/s", "last image s", "peak GB"], rows)


def _format_cocktail(facts: Mapping[str, Any] | None) -> Iterator[str]:
    if facts:
        stock_s, ours_s = (facts[name]["seconds"]["total"] for name in ("stock", "ours"))
        yield (
            f"The cocktail at its defaults: stock {stock_s:.3f} s, ours {ours_s:.3f} s an image (stock / ours"
            f" {stock_s / ours_s:.2f}); {facts['crowd']['clients']} clients at once"
            f" {facts['crowd']['images_per_s']:.2f} images/s."
        )


def _format_profile(facts: Mapping[str, Any] | None) -> Iterator[str]:
    for stage in STAGES:
        if facts and stage in facts:
            yield f"A step of the {stage}, {facts[stage]['ms']:.1f} ms:"
            rows = [
                [f"`{each['name']}`", each["calls"], f"{each['ms']:.2f}", f"{each['share']:.0%}"]
                for each in facts[stage]["operators"]
            ]
            yield _format_table(["operator", "calls", "ms", "share"], rows)


def _peak(facts: Mapping[str, Any]) -> list[str]:
    return [f"{facts['peak_bytes'] / 1e9:.2f}"]


def _format_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    rule = "|---" + "|--:" * (len(header) - 1) + "|"
    return "\n".join([_format_row(header), rule, *map(_format_row, rows)])


def _format_row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
