"""Settings from the environment: precedence, reading, what they reach, and the token that is never shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.harness.errors import BadInputError
from assay.harness.training.file import Job, load_job
from assay.harness.training.settings import (
    FILE_FIRST,
    REDACTED,
    VARIABLES,
    read_dotenv,
    redact,
    table_of_variables,
)
from assay.trainers.config import QuantizationTable
from assay.trainers.errors import DataError

ROOT = Path(__file__).parents[3]
FILE = """
base = "pocket"
[config]
method = "sft"
learning_rate = 1e-3
warmup_steps = 5
[config.adapter]
r = 8
[data]
file = "chats.jsonl"
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load a training file with some variables set, in a folder of its own, in a clean environment."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)
    for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE"):
        monkeypatch.setenv(name, os.environ.get(name, str(tmp_path / name)))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chats.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 4)

    def load(environment: dict[str, str], dotenv: str = "", text: str = FILE, **kwargs: Any) -> Job:
        (tmp_path / ".env").write_text(dotenv)
        (tmp_path / "train.toml").write_text(text)
        with monkeypatch.context() as m:
            for name, value in environment.items():
                m.setenv(name, value)
            return load_job(tmp_path / "train.toml", **kwargs)

    return load


def test_environment_wins_over_file_over_dotenv_over_default(job: Any) -> None:
    found = job({"LORA_R": "32"}, "LORA_R=16\nLEARNING_RATE=0.5\nBATCH_SIZE=2  # small\n")
    assert (found.config.adapter.r, found.sources["config.adapter.r"]) == (32, "environment LORA_R")
    assert (found.config.batch_size, found.sources["config.batch_size"]) == (2, ".env BATCH_SIZE")
    assert (found.config.learning_rate, found.sources["config.learning_rate"]) == (1e-3, "file")
    assert (found.config.epochs, found.sources["config.epochs"]) == (1.0, "default")
    assert found.unused == {"LEARNING_RATE": FILE_FIRST}
    assert job({}, "LORA_R=16").config.adapter.r == 8
    assert job({}, "LORA_R=16", FILE.replace("r = 8", "")).config.adapter.r == 16
    assert job({}).config.adapter.r == 8
    assert job({"LORA_R": " "}).config.adapter.r == 8, "an empty variable is not set"


# `.env` of a folder that somebody else made, against the file that the user named: (line, place, the file's own value)
OVER_THE_FILE = {
    "BASE_MODEL_NAME=org/other": ("base_name", "pocket"),
    "OUTPUT_DIR=/elsewhere": ("out", None),
    "DATASET_NAME=org/poison": ("data.hub", None),
    "LOAD_IN_4BIT=true": ("config.quantization.type", "fp4"),
    "BNB_4BIT_QUANT_TYPE=nf4": ("config.quantization.type", "fp4"),
    "WARMUP_RATIO=0.5": ("config.warmup_steps", 5),
    "LORA_R=64": ("config.adapter.r", 8),
    "LEARNING_RATE=9": ("config.learning_rate", 1e-3),
}


@pytest.mark.parametrize("line", OVER_THE_FILE)
def test_dotenv_changes_nothing_that_the_file_sets(job: Any, line: str, tmp_path: Path) -> None:
    place, own = OVER_THE_FILE[line]
    text = f'out = "here"\n{FILE}\n[config.quantization]\ntype = "fp4"\n'
    read = job({}, line, text)
    assert at(read, place) == (tmp_path / "here" if place == "out" else own)
    assert read.unused == {line.partition("=")[0]: FILE_FIRST}


def test_what_dotenv_sets_is_listed_before_it_is_used(job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Base, data, output folder and token of a folder's .env, with the token hidden, though the base is not there."""
    monkeypatch.setenv("HF_TOKEN", "")
    dotenv = (
        "BASE_MODEL_NAME=org/\x1b[2Jx\nDATASET_NAME=pocket\nMAX_SAMPLES=4\nOUTPUT_DIR=there\n"
        "HF_TOKEN=hf_secretsecret\nLORA_R=4\nSEED=\n"
    )
    lines: list[str] = []
    with pytest.raises(BadInputError, match="no model"):
        job({"LORA_R": "2"}, dotenv, "", report=lines.append)
    (line,) = lines
    for part in (
        "BASE_MODEL_NAME = 'org/\\x1b[2Jx' (base)",
        "DATASET_NAME = 'pocket' (data)",
        "OUTPUT_DIR = 'there' (out)",
        f"HF_TOKEN = {REDACTED} (the hub client)",
    ):
        assert part in line
    assert [word for word in ("hf_secretsecret", "\x1b", "LORA_R", "SEED") if word in line] == []
    assert job({}, "", FILE, report=lines.append).unused == {}
    assert len(lines) == 1, "an empty .env sets nothing, and nothing is said of it"


# variable: (text, dotted place in the resolved job, value)
REACH: dict[str, tuple[str, str, object]] = {
    "BASE_MODEL_NAME": ("pocket", "base_name", "pocket"),
    "OUTPUT_DIR": ("there", "out", Path("there/final")),
    "LORA_R": ("64", "config.adapter.r", 64),
    "LORA_ALPHA": ("16", "config.adapter.alpha", 16.0),
    "LORA_DROPOUT": ("0.05", "config.adapter.dropout", 0.05),
    "LORA_BIAS": ("lora_only", "config.adapter.bias", "lora_only"),
    "LORA_TARGET_MODULES": (" q_proj, v_proj ,", "config.adapter.target_modules", ["q_proj", "v_proj"]),
    "LOAD_IN_4BIT": ("True", "config.quantization", QuantizationTable(type="nf4")),
    "MAX_SEQ_LENGTH": ("2048", "config.max_length", 2048),
    "MIXED_PRECISION": ("bf16", "config.dtype", "bf16"),
    "EPOCHS": ("3", "config.epochs", 3.0),
    "BATCH_SIZE": ("4", "config.batch_size", 4),
    "GRADIENT_ACCUMULATION_STEPS": ("8", "config.gradient_accumulation_steps", 8),
    "LEARNING_RATE": ("2e-4", "config.learning_rate", 2e-4),
    "WEIGHT_DECAY": ("0.01", "config.weight_decay", 0.01),
    "WARMUP_RATIO": ("0.03", "config.warmup_ratio", 0.03),
    "GRADIENT_CLIPPING": ("0.3", "config.max_grad_norm", 0.3),
    "SEED": ("42", "config.seed", 42),
    "SAVE_STEPS": ("100", "config.save_steps", 100),
    "EVAL_STEPS": ("25", "config.eval_steps", 25),
    "LOGGING_STEPS": ("10", "config.logging_steps", 10),
    "SAVE_TOTAL_LIMIT": ("2", "config.save_total_limit", 2),
    "DATASET_NAME": ("chats.jsonl", "data.file", Path("chats.jsonl")),
    "MAX_SAMPLES": ("3", "data.n", 3),
}
WITH_4BIT = {
    "BNB_4BIT_QUANT_TYPE": ("fp4", "config.quantization.type", "fp4"),
    "BNB_4BIT_COMPUTE_DTYPE": ("bfloat16", "config.quantization.compute_dtype", "bf16"),
    "BNB_4BIT_USE_DOUBLE_QUANT": ("false", "config.quantization.double_quant", False),
}
ELSEWHERE = {  # tested below, each in its own way
    *("HF_TOKEN", "HF_CACHE_DIR", "DATASET_SPLIT", "DPO_BETA"),
    *("INSTRUCTION_COLUMN", "INPUT_COLUMN", "OUTPUT_COLUMN", "MESSAGES_COLUMN", "TEXT_COLUMN"),
}


def at(found: Job, place: str) -> Any:
    value: Any = found
    for part in place.split("."):
        value = None if value is None else getattr(value, part)
    return value


def test_every_variable_is_tested() -> None:
    assert {v.name for v in VARIABLES} == {*REACH, *WITH_4BIT, *ELSEWHERE}


@pytest.mark.parametrize("name", REACH)
def test_every_variable_reaches_its_setting(job: Any, name: str) -> None:
    text, place, expected = REACH[name]
    found = job({name: text})
    assert at(found, place) == expected
    assert name not in found.unused


@pytest.mark.parametrize("name", WITH_4BIT)
def test_the_4_bit_variables_speak_of_a_quantised_base_only(job: Any, name: str) -> None:
    text, place, expected = WITH_4BIT[name]
    assert at(job({name: text, "LOAD_IN_4BIT": "1"}), place) == expected
    alone = job({name: text})
    assert alone.config.quantization is None
    assert "the base is not quantised" in alone.unused[name]
    off = job({"LOAD_IN_4BIT": "false"}, text=FILE + '\n[config.quantization]\ntype = "fp4"\n')
    assert off.config.quantization is None


def test_columns_and_the_datasets_name(job: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"q": "one?", "a": "two"}\n')
    found = job(
        {"DATASET_NAME": "rows.jsonl", "INSTRUCTION_COLUMN": "q", "OUTPUT_COLUMN": "a"},
    )
    assert found.data.columns == {"instruction": "q", "output": "a"}
    assert found.records.kept[0].messages[1].content == "two"
    with pytest.raises(DataError, match="missing_one"):
        job({"DATASET_NAME": "rows.jsonl", "INSTRUCTION_COLUMN": "missing_one", "OUTPUT_COLUMN": "a"})
    made = job({"DATASET_NAME": "pocket", "MAX_SAMPLES": "5"})
    assert (made.data.suite, made.data.file, len(made.records.kept)) == ("pocket", None, 5)


def test_a_variable_that_means_nothing_here_is_named(job: Any) -> None:
    full = job({"LORA_R": "8", "DPO_BETA": "0.2"}, text=FILE.replace("r = 8", 'type = "none"'))
    assert full.unused == {
        "LORA_R": "adapter.type 'none' has no r",
        "DPO_BETA": "method 'sft' has no beta",
    }


def test_a_machines_habits_do_not_stop_a_reinforcement_run(job: Any) -> None:
    """A variable that every script of a machine sets is named where it means nothing; in the file it is an error."""
    text = 'base = "pocket"\n[config]\nmethod = "ppo"\n{}\n[data]\nsuite = "pocket"\nn = 4\n'
    found = job({"MAX_SEQ_LENGTH": "64", "LOGGING_STEPS": "5", "EVAL_STEPS": "5"}, text=text.format(""))
    assert set(found.unused) == {"MAX_SEQ_LENGTH", "LOGGING_STEPS", "EVAL_STEPS"}
    assert "rollout.max_new_tokens" in found.unused["MAX_SEQ_LENGTH"]
    with pytest.raises(BadInputError, match="max_length: ppo does not use it"):
        job({}, text=text.format("max_length = 64"))


def test_a_warm_up_ratio_replaces_the_files_steps(job: Any) -> None:
    found = job({"WARMUP_RATIO": "0.1"})
    assert (found.config.warmup_ratio, found.config.warmup_steps) == (0.1, 0)
    none = job({"WARMUP_RATIO": "0"})
    assert (none.config.warmup_ratio, none.config.warmup_steps) == (None, 0)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"BATCH_SIZE": "four"}, r"environment BATCH_SIZE = 'four'"),
        ({"LOAD_IN_4BIT": "maybe"}, "must be one of 1, true"),
        ({"LORA_DROPOUT": "1.5"}, r"environment LORA_DROPOUT = 1\.5 is not allowed: it must be .*below 1"),
        (
            {"MIXED_PRECISION": "fp8"},
            "environment MIXED_PRECISION = 'fp8' is not allowed: it must be 'auto', 'fp32', 'bf16' or 'fp16'",
        ),
        ({"BASE_MODEL_NAME": "no such model"}, "no model 'no such model'"),
    ],
)
def test_a_value_that_cannot_be_read_is_an_error_that_names_it(
    job: Any, environment: dict[str, str], said: str
) -> None:
    with pytest.raises(BadInputError, match=said):
        job(environment)


def test_an_unknown_key_names_the_nearest(job: Any) -> None:
    with pytest.raises(BadInputError, match="unknown key 'learning_rat'; did you mean 'learning_rate'"):
        job({}, text=FILE.replace("learning_rate", "learning_rat"))
    with pytest.raises(BadInputError, match="'confg'; did you mean 'config'"):
        job({}, text=FILE.replace("[config]", "[confg]").replace("[config.adapter]", "[confg.adapter]"))


def test_dotenv_lines(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# comment\n\nexport A = plain # note\nB='quoted # kept'\nC=\"x\"\nD=a#b\nE=\n"
    )
    assert read_dotenv(tmp_path) == {"A": "plain", "B": "quoted # kept", "C": "x", "D": "a#b", "E": ""}
    (tmp_path / ".env").write_text("HF_TOKEN hf_secret\n")
    with pytest.raises(BadInputError, match=r"\.env:1: expected NAME=VALUE$"):
        read_dotenv(tmp_path)


def test_the_hub_client_gets_its_token_and_cache(
    job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv("HF_TOKEN", "")
    job({}, f"HF_TOKEN=hf_fromdotenv\nHF_CACHE_DIR={tmp_path}/cache\n")
    assert os.environ["HF_TOKEN"] == "hf_fromdotenv"
    assert os.environ["HF_HUB_CACHE"] == f"{tmp_path}/cache"
    assert redact("a hf_fromdotenv b") == f"a {REDACTED} b"
    os.environ.pop("HF_HUB_CACHE")


def test_the_documented_table_is_this_one() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").endswith("\n\n" + table_of_variables())


TOKEN = "hf_ThisIsASecretOfThirtyCharacters"


def command(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in {x.name for x in VARIABLES}}
    return subprocess.run(
        [sys.executable, "-c", "from assay.harness.cli import main; main()", "train", *arguments],
        cwd=folder,
        env=clean | {"PYTHONPATH": str(ROOT / "src")} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.train
def test_the_command_from_dry_run_to_adapter_without_a_token_in_sight(tmp_path: Path) -> None:
    """Without a file: variables alone. The dry run predicts what the run then does; neither shows the token."""
    pytest.importorskip("trl", reason="needs the train extra: pip install 'assay[train]'")
    from assay.suites.pocket import pocket_sft_records
    from tests.tiny import make_tiny_model

    texts = [m["content"] for record in pocket_sft_records(60) for m in record["messages"]]
    make_tiny_model(tmp_path / "model", texts)
    (tmp_path / ".env").write_text(f"HF_TOKEN={TOKEN}\n")
    set_ = {
        "BASE_MODEL_NAME": str(tmp_path / "model"),
        "DATASET_NAME": "pocket",
        "MAX_SAMPLES": "12",
        "BATCH_SIZE": "2",
        "GRADIENT_ACCUMULATION_STEPS": "2",
        "MAX_SEQ_LENGTH": "150",
        "LOAD_IN_4BIT": "true",
        "LORA_ALPHA": "16",
        "OUTPUT_DIR": str(tmp_path / "out"),
    }
    told = command("--dry-run", "--json", folder=tmp_path, **set_)
    assert told.returncode == 0, told.stderr
    dry = json.loads(told.stdout)
    assert (dry["effective_batch"], dry["steps"]) == (4, 3)
    assert dry["records"] == "12 read, 12 kept (12 messages)"
    assert dry["settings"]["config.quantization.type"] == {
        "value": "nf4",
        "source": "environment LOAD_IN_4BIT",
    }
    assert dry["memory"]["peak_bytes"] > 0
    assert {"adapter", "logits"} <= {c["name"] for c in dry["memory"]["components"]}
    assert not (tmp_path / "out").exists()
    shown = command("--dry-run", folder=tmp_path, **set_)
    for said in (
        "effective batch 4, 3 steps",
        "predicted memory",
        "environment LOAD_IN_4BIT",
        "cut at max_length",
    ):
        assert said in shown.stdout
    done = command("--json", folder=tmp_path, **set_)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["path"] == str(tmp_path / "out" / "final")
    facts = made["training"]
    assert facts["trainable_parameters"] == dry["trainable_parameters"]
    assert facts["total_parameters"] == dry["total_parameters"]
    assert (facts["steps"], facts["effective_batch"]) == (3, 4)
    assert facts["peak_rss_bytes"] > facts["start_rss_bytes"] > 0
    written = [p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()]
    outputs = [x.encode() for run in (told, shown, done) for x in (run.stdout, run.stderr)]
    assert not any(TOKEN.encode() in text for text in (*written, *outputs))
    refused = command(f"{TOKEN}.toml", folder=tmp_path, **set_)
    assert refused.returncode == 3
    assert TOKEN not in refused.stderr
    assert REDACTED in refused.stderr


def test_without_anything_to_train_the_command_says_so(tmp_path: Path) -> None:
    found = command(folder=tmp_path)
    assert found.returncode == 3
    assert "base" in found.stderr
    listed = command("--settings", "--json", folder=tmp_path)
    assert [v["name"] for v in json.loads(listed.stdout)] == [v.name for v in VARIABLES]
