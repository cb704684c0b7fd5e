"""`assay generate` on every kind of model, and `assay serve` as a user starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.errors import BadInputError
from assay.harness.generation import Request, Sampling, load_generator
from assay.trainers.artifact import Artifact

pytestmark = [pytest.mark.train, pytest.mark.gguf]

PROMPT = "def double(x):\n"
ROOT = Path(__file__).parents[3]


def generate(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["generate", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("kind", ["base", "adapter", "merged", "gguf"])
def test_every_kind_answers_as_its_generator_does(kind: str, kinds: dict[str, Artifact]) -> None:
    artifact = kinds[kind]
    dtype = [] if kind == "gguf" else ["--dtype", "fp32"]
    asked = [
        str(artifact.path),
        "-p",
        PROMPT,
        "--style",
        "completion",
        "--max-new-tokens",
        "24",
        "--threads",
        "1",
    ]
    found = generate(*asked, *dtype)
    model = load_generator(artifact, batch_size=4, threads=1, dtype="auto" if kind == "gguf" else "fp32")
    try:
        sample = next(iter(model.generate([Request("p", 0, PROMPT, 0)], Sampling(max_new_tokens=24))))
    finally:
        model.close()
    assert found["text"] == sample.completion
    assert tuple(found["token_ids"]) == sample.token_ids
    assert found["kind"] == kind
    assert found["sha256"] == artifact.sha256
    assert found["tokens"] == len(found["token_ids"]) > 1
    assert found["seed"] == 0
    assert found["ttft_s"] > 0
    assert found["tpot_s"] > 0
    assert found["tok_per_s"] > 0


def test_adapter_and_merged_say_the_same_and_the_base_does_not(kinds: dict[str, Artifact]) -> None:
    said = {}
    for kind in ("base", "adapter", "merged", "gguf"):
        dtype = [] if kind == "gguf" else ["--dtype", "fp32"]
        asked = [str(kinds[kind].path), "-p", PROMPT, "--style", "completion", "--max-new-tokens", "32"]
        said[kind] = generate(*asked, "--threads", "1", *dtype)["token_ids"]
    assert said["adapter"] == said["merged"] == said["gguf"]
    assert said["adapter"] != said["base"]


def test_a_seed_is_a_draw() -> None:
    asked = ["pocket", "-p", PROMPT, "--style", "completion", "--temperature", "1", "--max-new-tokens", "12"]
    first, again, other = (
        generate(*asked, "--threads", "1", "--seed", seed)["token_ids"] for seed in ("1", "1", "2")
    )
    assert first == again != other


def test_the_terminal_gets_the_text_and_the_figures_apart(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text(PROMPT)
    asked = ["generate", "pocket", "--prompt-file", str(file), "--style", "completion", "--stop", "\n"]
    asked += ["--threads", "1"]
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.count("\n") == 1  # the stop string is cut, and one ends the line
    assert re.search(r"\[\d+ tokens, stop, seed 0, first after \d+ ms, .*tokens/s; transformers", done.stderr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pocket"], "give --prompt TEXT"),
        (
            ["pocket", "-p", "a", "--style", "poem"],
            "--style 'poem' is not allowed: it must be 'chat' or 'completion'",
        ),
        (["pocket", "-p", "a", "--style", "completion", "--system", "b"], "--system 'b' belongs to a chat"),
        (["pocket", "-p", "", "--style", "completion"], "the prompt is empty"),
        (["pocket", "-p", "a", "--temperature", "-1"], "temperature must be 0"),
        (["nowhere/", "-p", "a"], "no model 'nowhere/'"),
    ],
)
def test_bad_input_is_named(arguments: list[str], message: str) -> None:
    with pytest.raises(BadInputError, match=re.escape(message)):
        CliRunner().invoke(app, ["generate", *arguments], catch_exceptions=False)


@pytest.mark.slow
def test_serve_starts_answers_and_stops_on_a_signal(kinds: dict[str, Artifact]) -> None:
    code = "from assay.harness.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", str(kinds["gguf"].path), "--port", "0", "--name", "mine"]
    environment = os.environ | {"ASSAY_API_KEY": "k"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            told = process.stderr.readline()
            url = re.search(r"http://\S+/v1", told)
            assert url is not None, told
            assert "key required" in told
            asked = {"model": "mine", "prompt": PROMPT, "max_tokens": 8, "temperature": 0}
            headers = {"Authorization": "Bearer k"}
            found = requests.post(f"{url[0]}/completions", json=asked, headers=headers, timeout=300).json()
            assert found["usage"]["completion_tokens"] == 8
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
