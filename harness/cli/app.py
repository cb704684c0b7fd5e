"""The typer application: its verbs by panel, each loaded when it is called."""

from __future__ import annotations

import functools
import inspect
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info, get_group_from_info

from assay.harness.cli.options import AllowWeak, Json, NoCache, Quiet
from assay.harness.console import new_table

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["VERBS", "AllowWeak", "Json", "NoCache", "Quiet", "app", "load_verb", "new_table", "print_json"]

PANELS = {
    "Evaluate": "run plan eval score compare board runs report results contamination rank samples suites showcase",
    "Decide in CI": "gate baseline",
    "Train": "train pairs",
    "Artifacts": "merge export import push",
    "Serve": "generate serve loadtest",
    "Machine": "doctor memory profile sandbox",
}
VERBS = {name: panel for panel, names in PANELS.items() for name in names.split()}
MODULES = {  # of the verbs that do not have a module of their own name
    "samples": "convert",
    "showcase": "run",
    "import": "hub",
    "push": "hub",
    "sandbox": "doctor",
}


class Verbs(TyperGroup):
    """A group that lists every verb of the table above and imports a verb's module when it is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name, rich_help_panel=panel) for name, panel in VERBS.items()}
        self.lists = False  # whether commands are listed, which needs none of their modules

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        from assay.harness.models.keys import note_typed

        note_typed(args)
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self.lists or cmd_name not in VERBS:
            return super().get_command(ctx, cmd_name)
        return load_verb(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        for name, command in self.commands.items():
            command.help = first_paragraph(name)
        self.lists = True
        super().format_help(ctx, formatter)
        self.lists = False


def first_paragraph(verb: str) -> str:
    """Return the first paragraph of a verb's help, read from its module's text, which is not imported."""
    text = Path(__file__).with_name(f"{MODULES.get(verb, verb)}.py").read_text(encoding="utf-8")
    match = re.search(rf'\ndef {verb}_?\(.*?"""(.+?)(?:\n\n|""")', text, re.DOTALL)
    assert match is not None, f"no function {verb} with a docstring"
    return " ".join(match[1].split())


def load_verb(name: str) -> Any:
    """Import a verb's module and return its command."""
    import_module(f"assay.harness.cli.{MODULES.get(name, name)}")
    style: dict[str, Any] = {"pretty_exceptions_short": False, "rich_markup_mode": "rich"}
    for group in app.registered_groups:
        if group.typer_instance is not None and group.typer_instance.info.name == name:
            group.rich_help_panel = VERBS[name]
            return get_group_from_info(group, suggest_commands=True, **style)
    info = next(c for c in app.registered_commands if name in (c.name, getattr(c.callback, "__name__", "")))
    info.rich_help_panel = VERBS[name]
    return get_command_from_info(info, **style)


app = typer.Typer(
    name="assay",
    cls=Verbs,
    help="Measure what fine-tuning did to a code model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def verb(
    name: str | None = None, *, within: typer.Typer | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a verb: each parameter whose type is a group of options (options.py) becomes those options."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        groups: dict[str, list[str]] = {}
        parameters: list[inspect.Parameter] = []
        signature = inspect.signature(function, eval_str=True)
        for one in signature.parameters.values():
            if not is_dataclass(one.annotation):
                parameters.append(one.replace(kind=one.KEYWORD_ONLY))
                continue
            group: Any = one.annotation
            default = group() if one.default is one.empty else one.default
            hints = get_type_hints(group, include_extras=True)
            groups[one.name] = [field.name for field in fields(group)]
            parameters += [
                inspect.Parameter(n, one.KEYWORD_ONLY, default=getattr(default, n), annotation=hints[n])
                for n in groups[one.name]
            ]

        @functools.wraps(function)
        def call(**values: Any) -> None:
            for name, names in groups.items():
                make: Any = signature.parameters[name].annotation
                values[name] = make(**{option: values.pop(option) for option in names})
            function(**values)

        call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        (within or app).command(name)(call)
        return function

    return register


def print_json(value: Any) -> None:
    """Print one JSON object on stdout, for a program."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def screen() -> Console:
    """Return the console of results, which are as wide as the terminal, or 140 columns in a file or a pipe."""
    from assay.harness import console

    return console.terminal(plain_width=console.PLAIN_WIDTH)


def _version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        print(f"assay {version('assay')}")
        raise typer.Exit


@app.callback()
def _root(
    _shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Measure what fine-tuning did to a code model."""
    from assay.harness.hardware import ORDER

    for name, value in ORDER.items():
        os.environ.setdefault(name, value)
