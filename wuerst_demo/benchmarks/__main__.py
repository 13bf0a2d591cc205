"""`python -m wuerst_demo bench NAME [options]`: runs a benchmark; prints a table, then one line of JSON.

Without a NAME: single_request.
"""

import json
import os
import sys
import tomllib
from argparse import SUPPRESS, Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from wuerst_demo.errors import SettingsError, WuerstError
from wuerst_demo.fields import parse_value
from wuerst_demo.options import OptionParser
from wuerst_demo.request import DESCRIPTIONS, Limits
from wuerst_demo.settings import Settings, add_options

BENCHMARKS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("benchmarks.toml").read_text("utf-8"))


def main(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Runs a benchmark; returns 0, or 2 after one line on standard error."""
    name, rest = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("single_request", argv)
    name = name.replace("-", "_")
    try:
        if name not in BENCHMARKS:
            raise SettingsError(f"bench needs one of these names first: {', '.join(BENCHMARKS)}.")
        if name == "web_latency" and not {"-h", "--help"} & set(rest):
            from wuerst_demo.benchmarks import web_latency

            facts = web_latency.measure([word for word in rest if word != "--browser"], "--browser" in rest)
        else:
            parser = _create_parser(name)
            given = parser.parse(rest)
            if given.help:
                sys.stdout.write(parser.format_help())
                return 0
            facts = _run(name, given, env)
    except WuerstError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(facts, ensure_ascii=False) + "\n")
    return 0


def _run(name: str, given: Namespace, env: Mapping[str, str]) -> dict[str, Any]:
    """Plain data of a benchmark."""
    # Each benchmark is imported where it runs, so that mistakes are answered before torch is loaded.
    settings, values = Settings.of(vars(given), env, BENCHMARKS[name].get("groups", ())), dict[str, object]()
    if "size" in given:
        values |= {"width": given.size, "height": given.size}
    if "steps" in given:
        values |= {"prior_steps": given.steps[0], "decoder_steps": given.steps[1]}
    values |= read_settings("--settings", vars(given).get("settings") or "")
    match name:
        case "single_request":
            from wuerst_demo.benchmarks import single_request

            stock_dtype, stock_settings = (vars(given).get(name) for name in ("stock_dtype", "stock_settings"))
            stock_values = read_settings("--stock-settings", stock_settings or "")
            return single_request.measure(settings, values, given.repeat, stock_dtype, stock_values)
        case "load_test" if "replicas" in given:
            from wuerst_demo.benchmarks import fleet_load

            crowds = fleet_load.CrowdPlan(given.replicas, given.people, given.images_each, given.repeat)
            if "one_process" in given:
                return fleet_load.measure_page(crowds)
            return fleet_load.measure(settings, values, crowds)
        case "load_test":
            from wuerst_demo.benchmarks import load_test

            plan = load_test.LoadPlan(given.people, given.loads, given.shapes, given.repeat)
            return load_test.measure(settings, values, plan, given.rows)
        case "full_size":
            request = Limits().request({"prompt": "", "prior_guidance": 4.0, "decoder_guidance": 0.0, **values})
            from wuerst_demo.benchmarks import full_size

            configs, folder = full_size.select_configs(given.parts), env.get("TMPDIR") or None
            return full_size.measure(settings, request, given.pictures, configs, "compare" in given, folder)
        case "gpu_day":
            from wuerst_demo.benchmarks import gpu_day

            day = gpu_day.GpuDay.plan("small" in given)
            return {"records": gpu_day.measure(day, 60 * given.minutes, Path(given.file))}
        case _:
            from wuerst_demo.benchmarks import engine_overhead

            return engine_overhead.measure()


def _create_parser(name: str) -> OptionParser:
    names = "; ".join(f"{each}: {declared['summary']}" for each, declared in BENCHMARKS.items())
    about = BENCHMARKS[name].get("about", "")
    parser = OptionParser(f"wuerst bench {name} [options]", f"{about} Benchmarks: {names}.".strip())
    section = parser.add_argument_group("Benchmark")
    for option, declared in BENCHMARKS[name].get("options", {}).items():
        flag, default = f"--{option}", declared.get("default", SUPPRESS)
        if "kind" not in declared:
            section.add_argument(flag, action="store_true", help=declared["help"])
            continue
        help = declared["help"] + (f" Default: {default}." if "default" in declared else "")
        if declared["kind"] == "text":
            parse: Any = str
        else:
            parse = partial(parse_values, flag, declared["kind"], least=declared.get("least", 1))
        section.add_argument(
            flag,
            metavar=declared["metavar"],
            help=help.replace("%", "%%"),
            type=parse,
            choices=declared.get("choices"),
            default=default,
        )
    add_options(parser, BENCHMARKS[name].get("groups", ()))
    return parser


def read_settings(flag: str, text: str) -> dict[str, object]:
    """Settings of a request by field name, of `A=X&B=Y`; they are not validated. Raises SettingsError."""
    values: dict[str, object] = {}
    for pair in filter(None, text.split("&")):
        name, equals, value = pair.partition("=")
        if not equals or name not in DESCRIPTIONS:
            raise SettingsError(f"{flag} takes settings of a request, as in {flag} 'prior_steps=5&decoder_steps=4'.")
        values[name] = parse_value(DESCRIPTIONS[name], value)
    return values


def parse_values(flag: str, kind: int | list[str], text: str, least: int = 1) -> Any:
    """The value of an option, by its kind: some of these names, one whole number (1), two (2), or a list of them (0).

    Raises SettingsError.
    """
    words = text.split(",")
    if not isinstance(kind, int):
        if not set(words) <= set(kind):
            raise SettingsError(f"{flag} takes {', '.join(kind)}, or both with a comma between them.")
        return words
    if kind == 2 and len(words) != 2:
        raise SettingsError(f"{flag} takes two numbers with a comma between them, as in {flag} 29,12.")
    numbers = [int(word) if word.isdecimal() and len(word) <= 6 else -1 for word in words]
    if min(numbers) < least or (kind == 1 and len(numbers) > 1):
        raise SettingsError(f"{flag} must be a whole number from {least} to 999999.")
    return numbers[0] if kind == 1 else numbers


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
