"""Whatever is broken in what somebody else made is one sentence and an exit code, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from assay.harness.errors import BadInputError, UnmeasuredError, exit_code_of, message_of
from assay.harness.experiment.load import read_toml
from assay.harness.generation import Request, Sampling
from assay.harness.generation.openai_client import OpenAIGenerator
from assay.harness.models import resolve
from assay.harness.models.resolve import POCKET_FOLDER, Endpoint
from assay.harness.pipeline.steps.execute import joined
from assay.harness.pipeline.steps.generate import COLUMNS
from assay.trainers.artifact import Artifact, ArtifactKind, identify
from assay.trainers.errors import ArtifactError, TrainingError
from tests.strangers import stranger

ROOT = Path(__file__).parents[2]
DEEP = "[" * 100_000


def said(error: BaseException) -> str:
    """The one line that a person reads."""
    text = message_of(error)
    assert "\n" not in text
    assert len(text) < 1200
    return text


# What a server answers to a question: (its body, None where it is scored, else the class of the error)
ANSWERS: dict[str, tuple[Any, type[Exception] | None]] = {
    "usage as text": ({"usage": "many"}, None),
    "usage as a list": ({"usage": [1]}, None),
    "tokens as text": ({"usage": {"completion_tokens": "7", "prompt_tokens": "x"}}, None),
    "tokens as a list": ({"usage": {"completion_tokens": [7], "prompt_tokens": {}}}, None),
    "tokens below nothing": ({"usage": {"completion_tokens": -5, "prompt_tokens": -1}}, None),
    "a part of a token": ({"usage": {"completion_tokens": 1.5}}, None),
    "true tokens": ({"usage": {"completion_tokens": True}}, None),
    "tokens without end": ({"usage": {"completion_tokens": 10**9, "prompt_tokens": 10**30}}, None),
    "a message of text": ({"choices": [{"message": "pass", "finish_reason": "stop"}]}, None),
    "a message of nothing": ({"choices": [{"message": None, "finish_reason": "stop"}]}, None),
    "content as a list": (
        {"choices": [{"message": {"content": [{"type": "text"}]}, "finish_reason": "stop"}]},
        UnmeasuredError,
    ),
    "content as a number": (
        {"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]},
        UnmeasuredError,
    ),
    "a reason that is a list": (
        {"choices": [{"message": {"content": "x"}, "finish_reason": ["stop"]}]},
        UnmeasuredError,
    ),
    "choices as an object": ({"choices": {"0": {}}}, UnmeasuredError),
    "choices of text": ({"choices": ["x"]}, UnmeasuredError),
    "no choices": ({"choices": None}, UnmeasuredError),
    "a list": ([1], UnmeasuredError),
    "deep JSON": (DEEP.encode(), UnmeasuredError),
    "no UTF-8": (b"\xff\xfe\x00", UnmeasuredError),
    "nothing": (b"", UnmeasuredError),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_odd_answer_is_scored_or_named(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve.time, "sleep", lambda _: None)
    body, kind = ANSWERS[case]
    if isinstance(body, dict):
        fine = {"choices": [{"message": {"content": "pass"}, "finish_reason": "stop"}]}
        body = fine | body
    with stranger(lambda _: (200, {}, body)) as server:
        generator = OpenAIGenerator(
            Artifact(ArtifactKind.ENDPOINT, Endpoint(server.url, "m").path, ""), batch_size=1
        )
        request = Request("p", 0, generator.render_chat([{"role": "user", "content": "hi"}]), 1)
        if kind is None:
            (sample,) = generator.generate([request], Sampling(max_new_tokens=64))
            assert len(sample.token_ids) <= 64
            assert not sample.counted
        else:
            with pytest.raises(kind) as refused:
                list(generator.generate([request], Sampling(max_new_tokens=64)))
            assert exit_code_of(refused.value) in (2, 3)
            assert said(refused.value)


TOML = (
    "a = " + "[" * 20_000,
    "a = " + "{a=" * 20_000,
    "a = \x00",
    "\ufeffa = 1\nb",
    "[a\n",
    "a = 1\na = 2",
    "a = 1e9x",
)


@pytest.mark.parametrize("text", TOML)
def test_a_toml_file_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text(text)
    with pytest.raises(BadInputError, match=r"e\.toml: not") as refused:
        read_toml(tmp_path / "e.toml")
    assert said(refused.value)


def table(folder: Path, name: str, content: bytes | pd.DataFrame) -> Path:
    folder.mkdir()
    if isinstance(content, bytes):
        (folder / name).write_bytes(content)
    else:
        content.to_parquet(folder / name)
    return folder


TABLES = (b"", b"PAR1", b"PAR1" * 100, b"\x00" * 64, pd.DataFrame({"x": [1]}), pd.DataFrame())


@pytest.mark.parametrize("content", TABLES)
def test_a_table_that_is_none_is_named(content: bytes | pd.DataFrame, tmp_path: Path) -> None:
    """In results whose records hold no hashes, as those of version 0.1."""
    samples = table(tmp_path / "s", "samples.parquet", pd.DataFrame({name: [] for name in COLUMNS}))
    verdicts = table(tmp_path / "v", "verdicts.parquet", content)
    for first, second, file in ((samples, verdicts, "verdicts"), (verdicts, samples, "samples")):
        if second is samples:
            shutil.move(verdicts / "verdicts.parquet", verdicts / "samples.parquet")
        with pytest.raises(BadInputError, match=f"{file}.parquet (is no table|has no column)") as refused:
            joined(first, second)
        assert said(refused.value)


def model(folder: Path) -> Path:
    out = folder / "model"
    shutil.copytree(POCKET_FOLDER, out)
    (out / "artifact.json").unlink(missing_ok=True)
    return out


TEMPLATES = {
    "raises": "{{ raise_exception('\x1b]0;title\x07no') }}",
    "divides": "{{ 1 // 0 }}",
    "is no template": "{% for %}",
    "calls nothing": "{{ messages.nothing.at_all() }}",
    "climbs out": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "adds text to a number": "{{ 1 + 'a' }}",
    "needs a system turn": "{% if messages[0].role != 'system' %}{{ raise_exception('no system turn') }}{% endif %}",
}


@pytest.mark.train
@pytest.mark.parametrize("case", TEMPLATES)
def test_a_template_that_raises_is_named(case: str, tmp_path: Path) -> None:
    from assay.trainers.templates import load_tokenizer, render

    folder = model(tmp_path)
    (folder / "chat_template.jinja").write_text(TEMPLATES[case])
    tokenizer = load_tokenizer(identify(folder))
    with pytest.raises(TrainingError, match="this model's chat template fails on a chat") as refused:
        render(tokenizer, [{"role": "user", "content": "hi"}], answer_next=True)
    assert exit_code_of(refused.value) == 3
    assert said(refused.value).isprintable()


def write(name: str, content: str | bytes) -> Callable[[Path], None]:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data) and None


def edit(**values: Any) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | values))

    return make


def lost_shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')


BROKEN: dict[str, Callable[[Path], None]] = {
    "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
    "a tokenizer of nothing": write("tokenizer.json", "{}"),
    "a tokenizer cut short": lambda folder: os.truncate(folder / "tokenizer.json", 1000),
    "a tokenizer too deep": write("tokenizer.json", DEEP),
    "tokenizer settings of bytes": write("tokenizer_config.json", b"\xff\xfe"),
    "tokenizer settings as a list": write("tokenizer_config.json", "[]"),
    "a type that nobody knows": edit(model_type="nobody"),
    "no type": edit(model_type=None),
    "heads as text": edit(num_attention_heads="many"),
    "layers below nothing": edit(num_hidden_layers=-1),
    "another width": edit(hidden_size=96),
    "an activation that nobody knows": edit(hidden_act="nothing"),
    "a type of numbers that nobody knows": edit(dtype="float7", torch_dtype="float7"),
    "weights cut short": lambda folder: os.truncate(folder / "model.safetensors", 5000),
    "weights of nothing": write("model.safetensors", b""),
    "weights of another kind": write("model.safetensors", b"\xff" * 64),
    "an index of a missing shard": lost_shard,
}


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_model_folder_is_named(case: str, tmp_path: Path) -> None:
    from assay.harness.generation import load_generator

    folder = model(tmp_path)
    BROKEN[case](folder)
    with pytest.raises((ArtifactError, TrainingError, BadInputError)) as refused:
        load_generator(identify(folder), batch_size=1, threads=1, device="cpu", dtype="fp32")
    assert str(folder) in said(refused.value)
    assert exit_code_of(refused.value) == 3


def command(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from assay.harness.cli import main; main()", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


EXPERIMENT = """
name = "e"
[suite]
name = "pocket"
limit = 1
[score]
reference = "a"
[[variant]]
name = "a"
model = "pocket"
"""
PLACES: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "results are a file": (lambda f: (f / "runs").write_text(""), ("run", "e.toml", "--results", "runs")),
    "results are a link to nothing": (
        lambda f: ((f / "runs").mkdir(), (f / "runs" / "e").symlink_to("nothing")),
        ("run", "e.toml", "--results", "runs"),
    ),
    "results lie in a file": (
        lambda f: (f / "runs").write_text(""),
        ("run", "e.toml", "--results", "runs/x"),
    ),
    "results in a loop": (lambda f: (f / "runs").symlink_to("runs"), ("run", "e.toml", "--results", "runs")),
    "results of a long name": (lambda f: None, ("run", "e.toml", "--results", "a" * 5000)),
    "results where nothing is written": (lambda f: None, ("run", "e.toml", "--results", "/proc/1/runs")),
    "an experiment that is a folder": (lambda f: (f / "x.toml").mkdir(), ("run", "x.toml")),
    "an experiment that is a link to nothing": (
        lambda f: (f / "x.toml").symlink_to("no"),
        ("plan", "x.toml"),
    ),
    "an experiment in a loop": (lambda f: (f / "x.toml").symlink_to("x.toml"), ("plan", "x.toml")),
    "a model that is a link to nothing": (
        lambda f: (
            (f / "m").symlink_to("no"),
            (f / "e.toml").write_text(EXPERIMENT.replace('"pocket"\n', '"./m"\n')),
        ),
        ("plan", "e.toml", "--no-memory"),
    ),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_place_that_gives_nothing_is_one_sentence(case: str, tmp_path: Path) -> None:
    make, arguments = PLACES[case]
    (tmp_path / "e.toml").write_text(EXPERIMENT)
    make(tmp_path)
    done = command(*arguments, folder=tmp_path)
    assert done.returncode == 3, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("assay: ")
    assert done.stderr.count("\n") == 1
