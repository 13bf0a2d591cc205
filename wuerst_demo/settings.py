"""How the program runs, as opposed to what is drawn: one declaration per option.

Each field of `Settings` is an option: a flag, an environment variable, a default and its help. The command line, the
page's start and the README's table read these declarations; none repeats them. A flag goes before the variable, and
the variable before the default.

Does not know torch, Gradio or any checkpoint; the environment is read only where `Settings.read` is given it.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from wuerst_demo import arguments
from wuerst_demo.errors import SettingsError
from wuerst_demo.pairs import refuse
from wuerst_demo.paths import expanded
from wuerst_demo.request import SWITCHED

Group = Literal["model", "placement", "server", "output"]
SECTIONS: Mapping[Group, str] = MappingProxyType(
    {"model": "Checkpoint", "placement": "Where it runs", "server": "Page", "output": "Files"}
)


@dataclass(frozen=True)
class Option:
    """Describes one option. `default` None means: not given. Without a `metavar` it is a switch.

    `variables` are further environment variables it listens to, after its own. `check` raises ValueError, whose
    message ends the sentence "--flag must be ...", for a text that it does not admit. One that takes `many` may be
    given again, or once with commas; its value is a tuple.
    """

    help: str
    group: Group
    default: str | int | bool | tuple[str, ...] | None
    metavar: str = ""
    choices: tuple[str, ...] = ()
    check: Callable[[str], Any] | None = None
    variables: tuple[str, ...] = ()
    many: bool = False


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", text):
        raise ValueError("auto, cpu, mps, cuda or cuda:NUMBER")
    return text


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError("a whole number from 1 to 65535")
    return int(text)


def _auth(text: str) -> str:
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise ValueError("a user's name and a password with a colon between them: USER:PASSWORD")
    return text


def _folder(text: str) -> str:
    return str(expanded(text))


def _several(text: str) -> tuple[str, ...]:
    each = tuple(word.strip() for word in text.split(","))
    if not all(each):
        raise ValueError("one name, or several with commas between them")
    return each


def _option(option: Option, *, secret: bool = False) -> Any:
    """A dataclass field that carries its option; a secret one is left out of the repr."""
    return field(default=option.default, metadata={"option": option}, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every option with its value. Build one with `Settings.read`; the constructor itself checks nothing."""

    model: str | None = _option(
        Option(
            "The checkpoint: a Hub name, optionally with @revision, or a folder in the Hub's layout."
            " Without one: the small checkpoint that ships with the demo.",
            "model",
            None,
            "M",
        )
    )
    prior: str | None = _option(
        Option("Another prior: a Hub name or a folder. Without one: the prior that belongs to M.", "model", None, "P")
    )
    vqgan: str | None = _option(
        Option("Another VQGAN: a Hub name or a folder. Without one: the VQGAN of M.", "model", None, "V")
    )
    lora: tuple[str, ...] = _option(
        Option(
            "A LoRA for the prior: a .safetensors file or a Hub name, with :0.8 behind it for another strength than 1."
            " Several: give it again, or put commas between them.",
            "model",
            (),
            "L",
            check=_several,
            many=True,
        )
    )
    device: str = _option(
        Option(
            "auto, cpu, mps, cuda or cuda:NUMBER. auto takes a GPU if there is one.",
            "placement",
            "auto",
            "D",
            check=_device,
        )
    )
    dtype: str = _option(
        Option(
            "The numbers' type. auto is float16 on a GPU and float32 on a CPU.",
            "placement",
            "auto",
            "T",
            ("auto", "float32", "float16", "bfloat16"),
        )
    )
    offload: str = _option(
        Option(
            "What waits in main memory while the rest computes on a GPU: none; model, all networks but one; sequential,"
            " all layers but one, which is slow. auto takes the first that fits.",
            "placement",
            "auto",
            "O",
            ("auto", "none", "model", "sequential"),
        )
    )
    attention: str = _option(
        Option(
            "How attention is computed: sdpa, which is torch's, or xformers, on a CUDA GPU where it is installed.",
            "placement",
            "sdpa",
            "A",
            ("sdpa", "xformers"),
        )
    )
    compile: bool = _option(
        Option(
            "Compile prior and decoder: on the command line while it draws, for the page before it opens, which takes a"
            " while, and for pictures of the default size only.",
            "placement",
            False,
        )
    )
    host: str = _option(
        Option(
            "The address the page listens on. 0.0.0.0 lets other machines in.",
            "server",
            "127.0.0.1",
            "H",
            # Set on a Space, where the page must be reachable from outside its container.
            variables=("GRADIO_SERVER_NAME",),
        )
    )
    port: int = _option(Option("The page's port.", "server", 7860, "N", check=_port, variables=("GRADIO_SERVER_PORT",)))
    share: bool = _option(
        Option("Open the page to the internet through Gradio's tunnel; asks for --auth or --no-auth.", "server", False)
    )
    auth: str | None = _option(
        Option(
            "Let in only who knows this name and password. The variable keeps it out of the list of processes.",
            "server",
            None,
            "USER:PASSWORD",
            check=_auth,
        ),
        secret=True,
    )
    no_auth: bool = _option(Option("With --share: let in anybody who has the link.", "server", False))
    public_metrics: bool = _option(
        Option(
            "With --share, or on a Space: answer /metrics and /healthz there too, without a password.", "server", False
        )
    )
    no_history: bool = _option(
        Option(
            "Keep no pictures in --output, and show no history of them. So it is in any case with --share, with --auth,"
            " on a Space, and where --host lets other machines in.",
            "server",
            False,
        )
    )
    output: str = _option(Option("The folder that pictures are written to.", "output", "outputs", "DIR", check=_folder))

    @staticmethod
    def flags(groups: Sequence[Group] = tuple(SECTIONS)) -> list[arguments.Flag]:
        """The flags of these groups, for `arguments.read`."""
        return [
            arguments.Flag(
                flag(name), name, _help(option), option.metavar, section=SECTIONS[option.group], many=option.many
            )
            for name, option in OPTIONS.items()
            if option.group in groups
        ]

    @property
    def placement(self) -> dict[str, Any]:
        """Where and how to run, by the names that `model.placement.decide` and `api.load` take."""
        return {option: getattr(self, option) for option in ("device", "dtype", "offload", "attention", "compile")}

    @classmethod
    def read(
        cls,
        argv: Sequence[str],
        env: Mapping[str, str],
        groups: Sequence[Group] = tuple(SECTIONS),
    ) -> Settings:
        """Settings from a command line that holds nothing else.

        Raises SettingsError for every mistake in it or in the variables of these groups, PlacementError for what does
        not go together, and SystemExit(0) after printing the help that `--help` asks for.
        """
        given = arguments.read(argv, cls.flags(groups))
        if given.help:
            sys.stdout.write(arguments.described(cls.flags(groups)) + "\n")
            sys.stdout.flush()  # here, where it can be told that nobody reads on
            raise SystemExit(0)
        if given.words:
            raise SettingsError("There is a word too many on the command line; options begin with --, see --help.")
        return cls.of(given.texts, env, groups)

    @classmethod
    def of(
        cls,
        texts: Mapping[str, str],
        env: Mapping[str, str],
        groups: Sequence[Group] = tuple(SECTIONS),
    ) -> Settings:
        """Settings from the texts of flags by name, then the environment, then the defaults. Raises as `read` does."""
        values: dict[str, Any] = {}
        for name, option in OPTIONS.items():
            if option.group not in groups:
                continue
            if name in texts:
                values[name] = _value(flag(name), option, texts[name])
                continue
            for source in (variable(name), *option.variables):
                if env.get(source):
                    values[name] = _value(source, option, env[source])
                    break
        settings = cls(**values)
        if settings.share and not settings.auth and not settings.no_auth:
            raise SettingsError(
                "--share opens the page to the internet: add --auth USER:PASSWORD, or --no-auth to let in anybody."
            )
        if settings.auth and settings.no_auth:
            raise SettingsError("--auth and --no-auth contradict each other: keep one of them.")
        refuse(**settings.placement, lora=bool(settings.lora))
        return settings


OPTIONS: Mapping[str, Option] = MappingProxyType({f.name: f.metadata["option"] for f in dataclasses.fields(Settings)})
"""Field name of `Settings` -> its option, in the order of the fields."""


def flag(name: str) -> str:
    """How an option is spelled on the command line: `--no-auth`."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """The environment variable of an option: `WUERST_NO_AUTH`."""
    return "WUERST_" + name.upper()


def _help(option: Option) -> str:
    choices = f" One of: {', '.join(option.choices)}." if option.choices else ""
    default = "" if option.default in (None, False, ()) else f" Default: {option.default}."
    return option.help + choices + default


def _value(source: str, option: Option, text: str) -> Any:
    """One option's value, or SettingsError naming the flag or variable it came from."""
    try:
        if not option.metavar:
            if text.strip().lower() not in SWITCHED:
                raise ValueError("1 or 0 (true or false, yes or no, on or off)")
            return SWITCHED[text.strip().lower()]
        if option.choices and text not in option.choices:
            raise ValueError("one of: " + ", ".join(option.choices))
        if not text:
            raise ValueError("given a value; leave it out for the default")
        if "\0" in text or "\n" in text:
            raise ValueError("one line of text")
        return option.check(text) if option.check else text
    except ValueError as error:
        raise SettingsError(f"{source} must be {error}.") from error
