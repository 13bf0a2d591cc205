"""How the program runs, as opposed to what is generated: one declaration per option.

Each field of `Settings` is an option: a flag, an environment variable, a default and its help. The command line, the
page's start and the tables of the documentation read these declarations; none repeats them. A flag takes precedence
over the variable, and the variable over the default.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from itertools import chain
from types import MappingProxyType
from typing import Any

from wuerst_demo.compatibility import reject_conflicts
from wuerst_demo.errors import SettingsError
from wuerst_demo.options import Option, OptionGroup, OptionParser, env_variable, flag_name
from wuerst_demo.paths import expand_user
from wuerst_demo.placement_options import PlacementOptions

OPTION_GROUP_TITLES: Mapping[OptionGroup, str] = MappingProxyType(
    {
        "model": "Checkpoint",
        "placement": "Placement",
        "fleet": "Several GPUs or machines",
        "server": "Web server",
        "output": "Files",
    }
)
ALL_GROUPS: tuple[OptionGroup, ...] = tuple(OPTION_GROUP_TITLES)


def _parse_device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", text):
        raise ValueError("auto, cpu, mps, cuda or cuda:NUMBER")
    return text


def _parse_port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError("a whole number from 1 to 65535")
    return int(text)


def _parse_replicas(text: str) -> str:
    if text != "auto" and not (re.fullmatch(r"[0-9]{1,3}", text) and int(text)):
        raise ValueError("auto, or a whole number from 1 to 999")
    return text


def _parse_cluster(text: str) -> str:
    if not re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}", text):
        raise ValueError("the address of the cluster's head: HOST:PORT, without ray://")
    return text


def _parse_auth(text: str) -> str:
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise ValueError("a user name and a password separated by a colon: USER:PASSWORD")
    return text


def _parse_hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(host.lower() for host in _parse_list(text))
    if not all(re.fullmatch(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", host) for host in hosts):
        raise ValueError("a host name such as demo.example.org, with its port if that is not 80 or 443")
    return hosts


def _parse_origins(text: str) -> tuple[str, ...]:
    origins = tuple(origin.lower().rstrip("/") for origin in _parse_list(text))
    if not all(re.fullmatch(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", origin) for origin in origins):
        raise ValueError(
            "a web site such as https://example.org, with its port if that is not the usual, without a path"
        )
    return origins


def _parse_proxies(text: str) -> tuple[str, ...]:
    try:
        return tuple(
            str(ip_network(address) if "/" in address else ip_address(address)) for address in _parse_list(text)
        )
    except ValueError as error:
        raise ValueError("an IP address such as 10.0.0.2 or a network such as 10.0.0.0/8") from error


def _parse_root_path(text: str) -> str:
    if not re.fullmatch(r"(https?://[^/?#\s]+)?(/[^?#\s]*)?", text):
        raise ValueError("a path such as /wuerst or an address such as https://example.org/wuerst")
    return text.rstrip("/")


def _parse_folder(text: str) -> str:
    return str(expand_user(text))


def _parse_list(text: str) -> tuple[str, ...]:
    each = tuple(word.strip() for word in text.split(","))
    if not all(each):
        raise ValueError("one name, or several separated by commas")
    return each


_MAX_LIST_ENTRIES = 32
_LORA_WITH_DECIMAL_COMMA = re.compile(r"(?P<lora>.+):(?P<number>[+-]?[0-9]*),(?P<decimals>[0-9]+)")


def _parse_loras(text: str) -> tuple[str, ...]:
    """LoRAs separated by commas; a comma in the name of an existing file or folder separates nothing."""
    pieces = text.split(",")
    if len(pieces) > _MAX_LIST_ENTRIES:
        raise ValueError(f"at most {_MAX_LIST_ENTRIES} names")
    loras: list[str] = []
    while pieces:
        joined = (",".join(pieces[:count]).strip() for count in range(len(pieces), 1, -1))
        whole = next(filter(_is_local_lora, joined), pieces[0].strip())
        del pieces[: whole.count(",") + 1]
        if pieces and (number := _LORA_WITH_DECIMAL_COMMA.fullmatch(f"{whole},{pieces[0].strip()}")):
            lora, digits, decimals = number.groups()
            raise ValueError(f"given its strength with a point: {lora[:80]}:{digits or 0}.{decimals[:20]}")
        loras.append(whole)
    if not all(loras):
        raise ValueError("one name, or several separated by commas")
    return tuple(loras)


def _is_local_lora(text: str) -> bool:
    """Whether a text, or what stands before its ":strength", is a file or folder."""
    name, _, strength = text.rpartition(":")
    try:
        return any(expand_user(each).exists() for each in (text, "" if "," in strength else name) if each)
    except (OSError, ValueError):
        return False


def _option(
    help: str, group: OptionGroup, default: Any, metavar: str = "", *, secret: bool = False, **more: Any
) -> Any:
    """Dataclass field with its option; a secret one is left out of the repr."""
    option = Option(help, group, default, metavar, **more)
    return field(default=default, metadata={"option": option}, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every option with its value. Build with `Settings.read`; the constructor validates nothing."""

    model: str | None = _option(
        "Checkpoint: a Hub name, optionally with @revision, or a folder in the Hub's layout."
        " Default: the small checkpoint that ships with the demo.",
        "model",
        None,
        "M",
    )
    prior: str | None = _option(
        "Another prior: a Hub name or a folder. Default: the prior that belongs to M.", "model", None, "P"
    )
    vqgan: str | None = _option("Another VQGAN: a Hub name or a folder. Default: the VQGAN of M.", "model", None, "V")
    lora: tuple[str, ...] = _option(
        "LoRA for the prior: a .safetensors file or a Hub name; append :0.8 for a strength other than 1."
        " Repeat the option for several, or separate them by commas.",
        "model",
        (),
        "L",
        parse=_parse_loras,
        repeatable=True,
    )
    device: str = _option(
        "auto, cpu, mps, cuda or cuda:NUMBER. auto uses a GPU if there is one.",
        "placement",
        "auto",
        "D",
        parse=_parse_device,
    )
    dtype: str = _option(
        "Floating-point type of weights and activations. auto is float16 on a GPU; on a CPU bfloat16 where that was"
        " measured to be faster, else float32.",
        "placement",
        "auto",
        "T",
        choices=("auto", "float32", "float16", "bfloat16"),
    )
    offload: str = _option(
        "CPU offload: none; model, one network on the GPU at a time; sequential, one layer at a time, which is"
        " slow. auto uses the first that fits.",
        "placement",
        "auto",
        "O",
        choices=("auto", "none", "model", "sequential"),
    )
    attention: str = _option(
        "Attention kernels: sdpa, which is torch's, or xformers, on a CUDA GPU where it is installed.",
        "placement",
        "sdpa",
        "A",
        choices=("sdpa", "xformers"),
    )
    compile: bool = _option(
        "Use torch.compile for prior and decoder. The command line compiles on first use, the web page at startup"
        " and for the default size only.",
        "placement",
        False,
    )
    backend: str = _option(
        "What prior, decoder and VQGAN run in: torch, or openvino, on a CPU where it is installed.",
        "placement",
        "torch",
        "B",
        choices=("torch", "openvino"),
    )
    replicas: str | None = _option(
        "Generate in so many processes, each with a GPU or a share of the cores. auto is one for each GPU. Needs Ray.",
        "fleet",
        None,
        "N|auto",
        parse=_parse_replicas,
    )
    ray: str | None = _option(
        "Generate on the machines of a Ray cluster; the address is that of its head. Without --replicas, one replica"
        " for each GPU, those that join later included. Requires RAY_AUTH_MODE=token.",
        "fleet",
        None,
        "HOST:PORT",
        parse=_parse_cluster,
    )
    host: str = _option(
        "Address the web page listens on. 0.0.0.0 admits other machines.",
        "server",
        "127.0.0.1",
        "H",
        # Set on a Space, where the page must be reachable from outside its container.
        env_aliases=("GRADIO_SERVER_NAME",),
    )
    port: int = _option(
        "Port of the web page.", "server", 7860, "N", parse=_parse_port, env_aliases=("GRADIO_SERVER_PORT",)
    )
    allow_host: tuple[str, ...] = _option(
        "Further name under which browsers reach a page that listens on this machine alone, as behind a reverse"
        " proxy. Repeat the option for several, or separate them by commas.",
        "server",
        (),
        "NAME[:PORT]",
        parse=_parse_hosts,
        repeatable=True,
    )
    allow_origin: tuple[str, ...] = _option(
        "Web site whose own pages may call the web API, without cookies, such as https://example.org. Repeat the"
        " option for several, or separate them by commas.",
        "server",
        (),
        "SITE",
        parse=_parse_origins,
        repeatable=True,
    )
    trusted_proxy: tuple[str, ...] = _option(
        "Address or network of a reverse proxy, such as 127.0.0.1 or 10.0.0.0/8, whose X-Forwarded-For names the"
        " client. Repeat the option for several, or separate them by commas.",
        "server",
        (),
        "ADDRESS",
        parse=_parse_proxies,
        repeatable=True,
    )
    root_path: str = _option(
        "Path, or whole address, under which a reverse proxy serves the page: /wuerst, or https://example.org/wuerst"
        " where the proxy does not pass the host's name on.",
        "server",
        "",
        "PATH",
        parse=_parse_root_path,
        env_aliases=("GRADIO_ROOT_PATH",),
    )
    share: bool = _option("Publish the page through Gradio's tunnel; requires --auth or --no-auth.", "server", False)
    auth: str | None = _option(
        "Require this name and password. The variable keeps them out of the process list.",
        "server",
        None,
        "USER:PASSWORD",
        parse=_parse_auth,
        secret=True,
    )
    no_auth: bool = _option("With --share: admit anyone with the link.", "server", False)
    public_metrics: bool = _option(
        "Serve /metrics and /healthz without a password with --share or on a Space, too.", "server", False
    )
    no_history: bool = _option(
        "Disable the history: keep no pictures in --output. Always disabled with --share, on a Space, with --auth"
        " behind a proxy named by --allow-host, --root-path or --trusted-proxy, and where --host admits other"
        " machines.",
        "server",
        False,
    )
    output: str = _option("Folder for finished pictures.", "output", "outputs", "DIR", parse=_parse_folder)

    @property
    def placement(self) -> PlacementOptions:
        """The options that decide on device, dtype, offload and kernels."""
        return PlacementOptions(self.device, self.dtype, self.offload, self.attention, self.compile, self.backend)

    @property
    def uses_fleet(self) -> bool:
        """Whether other processes generate."""
        return bool(self.replicas or self.ray)

    @classmethod
    def read(cls, argv: Sequence[str], env: Mapping[str, str], groups: Sequence[OptionGroup] = ALL_GROUPS) -> Settings:
        """Settings from a command line that holds nothing else.

        Raises SettingsError for a mistake in it or in the environment variables of these groups, PlacementError for
        options that exclude each other, and SystemExit(0) after printing the requested help.
        """
        parser = OptionParser("wuerst page [options]")
        add_options(parser, groups)
        given = parser.parse(argv)
        if given.help:
            sys.stdout.write(parser.format_help())
            sys.stdout.flush()  # here, where a closed pipe is still handled
            raise SystemExit(0)
        return cls.of(vars(given), env, groups)

    @classmethod
    def of(
        cls, given: Mapping[str, Any], env: Mapping[str, str], groups: Sequence[OptionGroup] = ALL_GROUPS
    ) -> Settings:
        """Settings from the texts of flags by name, then the environment, then the defaults. Raises as `read` does.

        `given` is a parsed command line; the text of a repeatable option may be a list, other names are ignored.
        """
        values: dict[str, Any] = {}
        for name, option in OPTIONS.items():
            if option.group not in groups:
                continue
            if name in given:
                texts = [given[name]] if isinstance(given[name], str) else given[name]
                each = [option.value(flag_name(name), text) for text in texts]
                values[name] = tuple(chain.from_iterable(each)) if option.repeatable else each[-1]
                continue
            for source in (env_variable(name), *option.env_aliases):
                if env.get(source):
                    values[name] = option.value(source, env[source])
                    break
        settings = cls(**values)
        if settings.share and not settings.auth and not settings.no_auth:
            raise SettingsError("--share requires --auth USER:PASSWORD, or --no-auth to admit anyone with the link.")
        if settings.auth and settings.no_auth:
            raise SettingsError("--auth and --no-auth contradict each other: keep one of them.")
        reject_conflicts(settings.placement, lora=bool(settings.lora))
        return settings


OPTIONS: Mapping[str, Option] = MappingProxyType({f.name: f.metadata["option"] for f in dataclasses.fields(Settings)})
"""Field name of `Settings` -> its option, in the order of the fields."""


def add_options(parser: argparse.ArgumentParser, groups: Sequence[OptionGroup]) -> None:
    """Add the flags of these groups to a parser, for `Settings.of`."""
    for group in groups:
        section = parser.add_argument_group(OPTION_GROUP_TITLES[group])
        for name, option in OPTIONS.items():
            if option.group != group:
                continue
            if option.metavar:
                action = "append" if option.repeatable else "store"
                section.add_argument(flag_name(name), action=action, metavar=option.metavar, help=_help_text(option))
            else:
                section.add_argument(flag_name(name), action="store_const", const="true", help=_help_text(option))


def _help_text(option: Option) -> str:
    """The help with choices and default, as argparse takes it."""
    choices = f" One of: {', '.join(option.choices)}." if option.choices else ""
    default = "" if option.default in (None, False, (), "") else f" Default: {option.default}."
    return (option.help + choices + default).replace("%", "%%")
