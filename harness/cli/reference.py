"""docs/reference.md, docs/settings.md and .env.example, made from the models of the files and from the command line.

    python -m assay.harness.cli.reference [--check]

writes them; with `--check` nothing is written, and the exit code is 1 if one differs from what would be written. The
text under a field of a model is its sentence here; only reference.toml is written by hand.
"""

from __future__ import annotations

import inspect
import json
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Template
from typing import Any, NamedTuple, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from assay.harness.cli.app import VERBS, load_verb
from assay.harness.decide.gate import Rules
from assay.harness.experiment import Experiment
from assay.harness.training.file import TrainFile
from assay.harness.training.settings import VARIABLES, table_of_variables
from assay.suites.jsonl import ProblemRow
from assay.suites.validation import MAKERS, choices, models_in, shown, type_in_words
from assay.trainers.config import METHODS, CommonConfig, LoraTable, QuantizationTable
from assay.trainers.data.inputs import data_table

ROOT = Path(__file__).resolve().parents[2]


class Section(NamedTuple):
    """One table of a file: its heading, its model, and the model whose fields are described elsewhere."""

    heading: str
    model: type[BaseModel]
    beyond: type[BaseModel] | None = None

    def fields(self) -> dict[str, FieldInfo]:
        """Return the fields that this section describes: those that `beyond` lacks or has otherwise."""
        known = self.beyond.model_fields if self.beyond else {}
        return {
            name: info
            for name, info in self.model.model_fields.items()
            if name not in known or repr(known[name]) != repr(info)
        }


def _tables(
    model: type[BaseModel], path: str = "", heading: str = "Top level", beyond: type[BaseModel] | None = None
) -> Iterator[Section]:
    """Yield a section for `model`, and one for each table in it, at any depth."""
    section = Section(heading, model, beyond)
    yield section
    for name, info in section.fields().items():
        inner = models_in(info.annotation)
        for one in inner:
            key = f"[{path}{name}]"
            title = f"`[{key}]`" if get_origin(info.annotation) is tuple else f"`{key}`"
            if len(inner) > 1:
                maker = next((f" with `{m}`" for m in MAKERS if m in one.model_fields), "")
                title += maker or f", type {' or '.join(choices(one.model_fields['type']))}"
            yield from _tables(one, f"{path}{name}.", title)


def _training() -> Iterator[Section]:
    """Yield the sections of a training file: `[config]` of every method, its tables, and `[data]`."""
    yield Section("Top level", TrainFile)
    common = list(_tables(CommonConfig, "config.", "`[config]`, every method"))
    yield common[0]
    tables = common[1:]
    for method, model in METHODS.items():
        own, *inner = _tables(model, "config.", f'`[config]`, `method = "{method}"`', CommonConfig)
        yield own
        tables += inner
    yield from tables
    for table in dict.fromkeys(map(data_table, METHODS)):
        methods = [method for method in METHODS if data_table(method) is table]
        yield Section(f"`[data]` of {', '.join(methods)}", table)


def _unique(sections: Iterator[Section]) -> tuple[Section, ...]:
    """Return the sections with each model once, under its first heading."""
    unique: dict[type[BaseModel], Section] = {}
    for section in sections:
        unique.setdefault(section.model, section)
    return tuple(unique.values())


EXPERIMENT = _unique(_tables(Experiment))
TRAINING = _unique(_training())
PROBLEMS = (Section("One line", ProblemRow),)
RULES = _unique(_tables(Rules))


@cache
def texts() -> dict[str, Any]:
    """Return the text and the examples that are written by hand."""
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def example(name: str, info: FieldInfo) -> str:
    """Return a value that the field takes, as TOML."""
    examples, literals = texts()["examples"], _literals(info.annotation)
    if literals and (info.is_required() or info.default is None):
        return _toml(literals[0])
    if literals and info.default in literals:
        return _toml(info.default)
    if name in examples and not (name == "suite" and models_in(info.annotation)):
        return str(examples[name])
    if models := models_in(info.annotation):
        own = {key: part for key, part in models[0].model_fields.items() if part.is_required()}
        text = ", ".join(f"{key} = {example(key, part)}" for key, part in own.items())
        table = f"{{ {text} }}" if text else "{}"
        return f"[{table}]" if get_origin(info.annotation) is tuple else table
    if isinstance(info.default, bool | int | float | str | tuple) and not info.is_required():
        return _toml(info.default)
    return "1"


def _literals(annotation: Any) -> tuple[Any, ...]:
    names = choices(annotation)
    return tuple(names) if names and get_origin(annotation) is not tuple else ()


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def rows(section: Section) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield each field of a section: key, type with allowed values, default, example, sentence."""
    for name, info in section.fields().items():
        if info.is_required():
            default = "required"
        elif models_in(info.annotation) and info.default is not None:
            default = "its defaults" if info.default != () else "none"
        else:
            value = info.get_default(call_default_factory=True)
            default = "none" if value in (None, {}, (), "") else _toml(value)
        allowed = type_in_words(info.annotation, info.metadata)
        yield name, allowed, default, example(name, info), " ".join((info.description or "").split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _code(text: str) -> str:
    return text if text in ("required", "none", "its defaults") else f"`{_cell(text)}`"


def _section(section: Section) -> Iterator[str]:
    yield f"### {section.heading}\n"
    if section.model.__doc__:
        yield inspect.cleandoc(section.model.__doc__) + "\n"
    yield "| key | value | default | example | meaning |\n|---|---|---|---|---|"
    for name, allowed, default, sample, sentence in rows(section):
        yield f"| `{name}` | {_cell(allowed)} | {_code(default)} | {_code(sample)} | {_cell(sentence)} |"
    yield ""


def _verbs() -> Iterator[tuple[str, Any]]:
    """Yield every command of `assay` with its full name."""
    for name in VERBS:
        command = load_verb(name)
        for inner, one in getattr(command, "commands", {"": command}).items():
            yield f"assay {name} {inner}".strip(), one


def _verb(name: str, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    named = [p.metavar or p.name.upper() for p in arguments]
    usage = " ".join(n if p.required else f"[{n}]" for n, p in zip(named, arguments, strict=True))
    yield f"### `{name}{' ' + usage if usage else ''}`\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    yield "| option | default | meaning |\n|---|---|---|"
    for metavar, one in zip(named, arguments, strict=True):
        yield f"| `{metavar}` | {'required' if one.required else 'none'} | {_cell(one.help or '')} |"
    for one in command.params:
        if one.param_type_name == "option" and not getattr(one, "hidden", False):
            spelled = ", ".join(f"`{text}`" for text in (*one.opts, *one.secondary_opts))
            default = "required" if one.required else _default(one.default)
            yield f"| {spelled} | {_code(default)} | {_cell(one.help or '')} |"
    yield ""


def _default(value: Any) -> str:
    if value is None or value == "":
        return "none"
    return shown(value).strip("'") if isinstance(value, str | Path) else _toml(value)


def reference() -> str:
    """Return docs/reference.md."""
    sections = {"experiment": EXPERIMENT, "training": TRAINING, "problems": PROBLEMS, "rules": RULES}
    parts = {
        name: "\n".join(line for one in part for line in _section(one)) for name, part in sections.items()
    }
    verbs = "\n".join(line for name, command in _verbs() for line in _verb(name, command))
    return Template(texts()["page"]).substitute(texts(), verbs=verbs, **parts)


def settings() -> str:
    """Return docs/settings.md."""
    return str(texts()["settings"]) + table_of_variables()


def dotenv() -> str:
    """Return .env.example: every variable with its meaning, commented out."""
    fields = {key: info for model in METHODS.values() for key, info in model.model_fields.items()}
    fields = LoraTable.model_fields | QuantizationTable.model_fields | fields
    lines = [
        "# Settings of `assay train`: copy to .env and uncomment. They fill in what the training file leaves open.\n"
    ]
    for variable in VARIABLES:
        key = variable.key.rpartition(".")[2]
        value = texts()["variables"].get(variable.name) or _default(fields[key].default)
        lines.append(f"# {variable.meaning}\n# {variable.name}={value}\n")
    return "\n".join(lines)


def files() -> dict[Path, str]:
    """Return the text of each generated file by its path."""
    return {
        ROOT / "docs" / "reference.md": reference(),
        ROOT / "docs" / "settings.md": settings(),
        ROOT / ".env.example": dotenv(),
    }


def main() -> None:
    """Write the files, or with --check exit with 1 where one differs."""
    from assay.harness.files import write_text

    stale = [path for path, text in files().items() if not path.is_file() or path.read_text("utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(
                f"{path.relative_to(ROOT)} is not current: run python -m assay.harness.cli.reference",
                file=sys.stderr,
            )
        sys.exit(1 if stale else 0)
    for path in stale:
        write_text(path, files()[path])


if __name__ == "__main__":
    main()
