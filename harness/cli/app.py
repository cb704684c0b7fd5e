"""The typer application: its verbs by panel, each loaded when it is called."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info, get_group_from_info

from assay.harness.cli.options import AllowWeak, Json, NoCache, Quiet
from assay.harness.console import new_table

__all__ = ["VERBS", "AllowWeak", "Json", "NoCache", "Quiet", "app", "load_verb", "new_table", "print_json"]

EVALUATE, TRAIN, ARTIFACTS, SERVE, MACHINE = "Evaluate", "Train", "Artifacts", "Serve", "Machine"


class Verb(NamedTuple):
    """A command of `assay`: its module in this folder, its panel, and the first paragraph of its help."""

    module: str
    panel: str
    help: str


VERBS = {
    "run": Verb(
        "run", EVALUATE, "Run an experiment: train, merge, export, generate, execute, score, report."
    ),
    "plan": Verb(
        "plan",
        EVALUATE,
        "Print the steps that `assay run` would do, which are done, and the difference that could be detected.",
    ),
    "eval": Verb("eval", EVALUATE, "Score a model on a suite."),
    "score": Verb("score", EVALUATE, "Score a file of samples from any model."),
    "compare": Verb("compare", EVALUATE, "Test that each model still equals the one before it."),
    "contamination": Verb(
        "contamination", EVALUATE, "Measure how much of a suite's problems is in a training set."
    ),
    "rank": Verb("rank", EVALUATE, "Fit Bradley–Terry strengths and Elo to pairwise comparisons."),
    "samples": Verb("convert", EVALUATE, "Write samples in another evaluator's format."),
    "showcase": Verb("run", EVALUATE, "Run every stage of a tier's model, each with its own check."),
    "train": Verb("train", TRAIN, "Train one model: an adapter, or every weight."),
    "pairs": Verb("pairs", TRAIN, "Make preference pairs from a model's own samples."),
    "merge": Verb(
        "merge", ARTIFACTS, "Fold adapters into their base: one model folder that loads without PEFT."
    ),
    "export": Verb("export", ARTIFACTS, "Write a model as one GGUF file for llama.cpp."),
    "import": Verb("hub", ARTIFACTS, "Fetch a model from the Hugging Face Hub."),
    "push": Verb("hub", ARTIFACTS, "Publish a model on the Hugging Face Hub with a card of its figures."),
    "generate": Verb("generate", SERVE, "Answer one prompt, streamed to the terminal."),
    "serve": Verb("serve", SERVE, "Serve a model with OpenAI's interface."),
    "loadtest": Verb(
        "loadtest",
        SERVE,
        "Measure a server's throughput and latency under load (was: assay profile URL, which still works).",
    ),
    "doctor": Verb("doctor", MACHINE, "Show what this machine can do, and what to install for more."),
    "memory": Verb(
        "memory",
        MACHINE,
        "Predict the memory of one training or inference run, component by component, and whether a device has it.",
    ),
    "profile": Verb(
        "profile",
        MACHINE,
        "Measure a model's memory and speed in a process of its own, each component next to its prediction.",
    ),
    "sandbox": Verb("doctor", MACHINE, "Test the sandbox by itself."),
}


class Verbs(TyperGroup):
    """A group that lists every verb from the table above and imports a verb's module when it is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        loaded = self.commands
        listed = {name: loaded.get(name) or _listed(name, verb) for name, verb in VERBS.items()}
        self.commands = {**listed, **loaded}
        self.lists = False  # whether commands are listed, which needs none of their modules

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self.lists or cmd_name not in VERBS:
            return super().get_command(ctx, cmd_name)
        return load_verb(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.lists = True
        super().format_help(ctx, formatter)
        self.lists = False


def _listed(name: str, verb: Verb) -> TyperCommand:
    """Return a command that `assay --help` can list without the verb's module."""
    return TyperCommand(name, help=verb.help, rich_help_panel=verb.panel)


def load_verb(name: str) -> Any:
    """Import a verb's module and return its command."""
    import_module(f"assay.harness.cli.{VERBS[name].module}")
    for group in app.registered_groups:
        if group.typer_instance is not None and group.typer_instance.info.name == name:
            group.rich_help_panel = VERBS[name].panel
            return get_group_from_info(
                group, pretty_exceptions_short=False, suggest_commands=True, rich_markup_mode="rich"
            )
    info = next(c for c in app.registered_commands if name in (c.name, getattr(c.callback, "__name__", "")))
    info.rich_help_panel = VERBS[name].panel
    return get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode="rich")


app = typer.Typer(
    name="assay",
    cls=Verbs,
    help="Measure what fine-tuning did to a code model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_json(value: Any) -> None:
    """Print one JSON object on stdout, for a program."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


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
