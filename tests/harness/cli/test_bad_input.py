"""Bad input ends with exit code 3 and one line that names the place, the value, what is allowed, and what to do."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from assay.harness.cli import main
from assay.harness.training.settings import VARIABLES

# Words of pydantic's own, and of Python's, that no message may hold.
FOREIGN = re.compile(
    r"Field required|Input should|Input tag|should match pattern|should have at least|Extra inputs|unable to parse"
    r"|validation error|Value error|valid (string|integer|number|dictionary|list)|Traceback|type=|pydantic"
)
EXPERIMENT = """
name = "try"
[suite]
name = "pocket"
[sampling]
samples = 4
temperature = 0.8
[score]
k = [1, 4]
[[variant]]
name = "base"
model = "pocket"
[[variant]]
name = "sft"
train = "base"
config = { method = "sft" }
data = { file = "chats.jsonl" }
[[variant]]
name = "merged"
merge = "sft"
"""
TRAINING = """
base = "pocket"
[config]
method = "sft"
learning_rate = 1e-3
[config.adapter]
r = 8
[data]
file = "chats.jsonl"
"""
PPO = 'base = "pocket"\n[config]\nmethod = "ppo"\n{}\n[data]\nsuite = "pocket"\nn = 4\n'
PROBLEM = '{"id": "a/0", "prompt": "def f():\\n", "entry_point": "f", "checks": ["assert f() is None"]}'
LEFT_OUT = "assay: left out: "

# (old text, new text) of the experiment file, and what the message must hold.
EXPERIMENTS = [
    ("samples = 4", "samples = 0", ("exp.toml", "sampling.samples = 0", "a whole number, at least 1")),
    ("samples = 4", 'samples = "four"', ("sampling.samples = 'four'", "a whole number")),
    ("temperature = 0.8", "temperature = -1", ("sampling.temperature = -1", "at least 0")),
    ("temperature = 0.8", "temperature = nan", ("sampling.temperature = nan", "a finite number")),
    (
        "temperature",
        "temprature",
        ("'sampling.temprature'", "did you mean 'temperature'", "Known here: max_new"),
    ),
    ("[score]", "[scores]", ("unknown key 'scores'", "did you mean 'score'")),
    ("k = [1, 4]", "k = []", ("score.k = []", "a list of at least 1")),
    ("k = [1, 4]", "k = [1, 5]", ("score.k = [1, 5]", "sampling.samples = 4")),
    (
        "[score]",
        '[sandbox]\nmode = "spilt"\n[score]',
        ("sandbox.mode = 'spilt'", "'split' or 'shared'", "mean 'split'"),
    ),
    ("[score]", "[sandbox]\nwall_s = 1e9\n[score]", ("sandbox.wall_s", "at most 86,400")),
    ('name = "try"', 'name = "../try"', ("name = '../try'", "lower-case letters")),
    ('name = "try"', 'name = "try"\nseeds = [1, -2]', ("seeds.1 = -2", "at least 0")),
    (
        'merge = "sft"',
        'merg = "sft"',
        ("variant.2", "exactly one of: model, train, merge", "did you mean 'merge'"),
    ),
    (
        'merge = "sft"',
        'merge = "sft"\nstrategy = "tie"',
        ("variant.2.strategy = 'tie'", "'lora'", "mean 'ties'"),
    ),
    ('merge = "sft"', 'merge = "sfd"', ("'merged' is made from 'sfd'", "before it: base, sft")),
    ("config = {", "config = 5 #", ("variant.1.config = 5", "a table")),
    ("config =", "confg =", ("unknown key 'variant.1.confg'", "did you mean 'config'")),
    (
        '{ method = "sft" }',
        '{ method = "sfd" }',
        ("variant 'sft', config", "method = 'sfd'", "did you mean 'sft'"),
    ),
    ('[suite]\nname = "pocket"', "[suite]\nname = 5", ("suite.name = 5", "text")),
    (
        '[suite]\nname = "pocket"',
        '[suite]\nname = "pokcet"',
        ("'pokcet'", "did you mean 'pocket'", "humaneval"),
    ),
    ('[suite]\nname = "pocket"\n', "", ("suite is missing", "a table")),
    ("[suite]", "[suite", ("exp.toml: not TOML",)),
]
TRAININGS = [
    (
        TRAINING,
        "r = 8",
        'type = "loraa"',
        ("train.toml: config", "adapter.type = 'loraa'", "mean 'lora'", "loha, lokr"),
    ),
    (TRAINING, "r = 8", "r = 0", ("adapter.r = 0", "a whole number, at least 1")),
    (TRAINING, "r = 8", "dropout = 1.5", ("adapter.dropout = 1.5", "below 1")),
    (TRAINING, "r = 8", "rank = 8", ("unknown key 'adapter.rank'", "nown here: alpha, bias")),
    (
        TRAINING,
        "learning_rate = 1e-3",
        "learning_rat = 1",
        ("'learning_rat'", "did you mean 'learning_rate'"),
    ),
    (
        TRAINING,
        "learning_rate = 1e-3",
        "batch_size = 2.5",
        ("batch_size = 2.5", "a whole number, at least 1"),
    ),
    (
        TRAINING,
        "learning_rate = 1e-3",
        'template = "lama3"',
        ("template = 'lama3'", "'alpaca'", "mean 'llama3'"),
    ),
    (TRAINING, "learning_rate = 1e-3", "warmup_ratio = 2", ("warmup_ratio = 2", "above 0 and below 1")),
    (TRAINING, 'method = "sft"', 'method = "sftt"', ("method = 'sftt'", "known: dpo", "did you mean 'sft'")),
    (TRAINING, "[config]", "[confg]", ("unknown key 'confg'", "did you mean 'config'")),
    (TRAINING, 'base = "pocket"', "", ("base is missing", "text")),
    (
        TRAINING,
        'file = "chats.jsonl"',
        'fil = "chats.jsonl"',
        ("data", "unknown key 'fil'", "did you mean 'file'"),
    ),
    (
        TRAINING,
        'file = "chats.jsonl"',
        'file = "chats.jsonl"\nbad_rows = "skip"',
        ("bad_rows = 'skip'", "'drop'"),
    ),
    (PPO, "{}", 'kl = { estimator = "k4" }', ("kl.estimator = 'k4'", "'k1', 'k2' or 'k3'")),
    (PPO, "{}", "kl = { adaptive = true }", ("kl: adaptive", "needs a target")),
    (PPO, "{}", 'reward = { weak = "type" }', ("reward.weak = 'type'", "mean 'types'")),
]
PROBLEMS = [
    (
        PROBLEM.replace("checks", "cheks"),
        ("problems.jsonl, line 1", "'cheks'", "mean 'checks'", "under 'metadata'"),
    ),
    (PROBLEM.replace('"a/0"', "7"), ("field 'id' = 7", "text")),
    (PROBLEM.replace('"f"', '"f()"'), ("field 'entry_point' = 'f()'", "a Python identifier")),
    (PROBLEM.replace('["assert f() is None"]', "[]"), ("field 'checks' = []", "a list of at least 1")),
    ("[1]", ("problems.jsonl, line 1", "object")),
    (PROBLEM + "\n" + PROBLEM, ("line 2", "'a/0' was used before")),
]
SAMPLES = [
    ('{"task_id": "a/1", "completion": "  pass"}', (LEFT_OUT, "line 1", "'a/1'")),
    ('{"task_id": "a/0", "completion": 7}', (LEFT_OUT, "line 1", "completion", "7")),
    ('{"task_id": "a/0"', (LEFT_OUT, "line 1")),
]
OPTIONS = [
    ("score s.jsonl --limit 0", ("--limit 0", "a number, at least 1")),
    ("score s.jsonl --limit few", ("--limit few", "a whole number")),
    ("score s.jsonl --limt 3", ("--limt", "Possible options: --limit", "score --help")),
    ("scoer s.jsonl", ("'scoer'", "'score'")),
    ("score", ("'FILE'", "assay score --help")),
    ("score none.jsonl", ("none.jsonl",)),
    ("score s.jsonl --mode spilt", ("--mode 'spilt'", "'split' or 'shared'", "did you mean 'split'")),
    ("score s.jsonl --backend dokcer", ("--backend 'dokcer'", "did you mean 'docker'")),
    ("score s.jsonl --memory-mb 1", ("--memory-mb 1", "at least 64")),
    ("score s.jsonl --suite humanevl", ("'humanevl'", "did you mean 'humaneval'", "pocket")),
    ("score s.jsonl --suite mbpp --suite-option style", ("--suite-option 'style'", "KEY=VALUE")),
    ("score s.jsonl --k 1,x", ("--k '1,x'", "numbers separated by commas")),
    ("score s.jsonl --k 0", ("--k '0'", "at least 1")),
    ("score s.jsonl --repeat 1", ("--repeat 1", "at least 2")),
    ("eval --samples s.jsonl --n 3", ("--n 3", "samples already")),
    ("eval pocket --style chatt", ("--style 'chatt'", "'chat' or 'completion'", "did you mean 'chat'")),
    ("eval pocket --n 2", ("--n 2 at temperature 0", "--temperature above 0")),
    ("eval pocket --k 5", ("--k 5", "--n 5")),
    ("eval pocket --repeat 3", ("--repeat 3", "--samples")),
    ("merge pocket none -o out --strategy tie", ("--strategy 'tie'", "'lora'", "did you mean 'ties'")),
    ("merge pocket none -o out --weights 1,x", ("--weights '1,x'", "0.7,0.3")),
    ("export pocket -o x.gguf --format ggfu", ("--format 'ggfu'", "'gguf'", "did you mean")),
    ("generate pocket -p x --style caht", ("--style 'caht'", "did you mean 'chat'")),
    ("pairs pocket -o p.jsonl --n 1", ("--n 1", "at least 2")),
    ("pairs pocket -o p.jsonl --kind exec", ("--kind 'exec'", "'execution' or 'quality'")),
    ("pairs pocket -o p.jsonl --match neares", ("--match 'neares'", "did you mean 'nearest'")),
    ("compare pocket", ("MODELS pocket", "two models")),
    ("compare pocket pocket --corpus pokcet", ("--corpus 'pokcet'", "did you mean 'pocket'")),
    ("run pokcet", ("'pokcet'", "did you mean 'pocket'")),
    ("sandbox selfcheck --isolation fersh", ("--isolation 'fersh'", "did you mean 'fresh'")),
    ("serve pocket --port 99999", ("--port 99999", "at most 65,535")),
]
VARIABLE_VALUES = [
    (
        "BATCH_SIZE",
        "four",
        ("environment BATCH_SIZE = 'four'", "a whole number", "Sequences in a forward pass"),
    ),
    ("LOAD_IN_4BIT", "maybe", ("environment LOAD_IN_4BIT = 'maybe'", "one of 1, true")),
    ("LORA_DROPOUT", "1.5", ("environment LORA_DROPOUT = 1.5", "below 1")),
    ("LORA_R", "0", ("environment LORA_R = 0", "at least 1")),
    ("MIXED_PRECISION", "fp61", ("environment MIXED_PRECISION = 'fp61'", "'bf16'", "did you mean 'fp16'")),
    ("LORA_BIAS", "lora", ("environment LORA_BIAS = 'lora'", "'lora_only'")),
]


@pytest.fixture
def assay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Run `assay` in a folder of its own; returns what it printed on stderr, after checking the exit code."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chats.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 4)
    (tmp_path / "s.jsonl").write_text('{"task_id": "a/0", "completion": "  pass"}\n')
    (tmp_path / "problems.jsonl").write_text(PROBLEM)

    def run(command: str, expected: tuple[str, ...]) -> str:
        monkeypatch.setattr(sys, "argv", ["assay", *command.split()])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capfd.readouterr()
        text = printed.out + printed.err
        assert end.value.code == 3, text
        assert not FOREIGN.search(text), text
        for part in expected:
            assert part in printed.err
        return printed.err

    return run


@pytest.mark.parametrize(("old", "new", "expected"), EXPERIMENTS)
def test_experiment_files(assay, tmp_path: Path, old: str, new: str, expected: tuple[str, ...]) -> None:
    assert old in EXPERIMENT
    (tmp_path / "exp.toml").write_text(EXPERIMENT.replace(old, new, 1))
    assay("plan exp.toml --no-memory", expected)


@pytest.mark.parametrize(("text", "old", "new", "expected"), TRAININGS)
def test_training_files(
    assay, tmp_path: Path, text: str, old: str, new: str, expected: tuple[str, ...]
) -> None:
    assert old in text
    (tmp_path / "train.toml").write_text(text.replace(old, new, 1))
    assay("train train.toml --dry-run", ("train.toml", *expected))


@pytest.mark.parametrize(("text", "expected"), PROBLEMS)
def test_problems_files(assay, tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    (tmp_path / "problems.jsonl").write_text(text)
    assay("score s.jsonl --suite jsonl --suite-path problems.jsonl", expected)


@pytest.mark.isolated
@pytest.mark.parametrize(("text", "expected"), SAMPLES)
def test_samples_files(assay, tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    (tmp_path / "s.jsonl").write_text('{"task_id": "a/0", "completion": "  pass"}\n' + text + "\n")
    expected = tuple(part.replace("line 1", "line 2") for part in expected)
    assay("score s.jsonl --suite jsonl --suite-path problems.jsonl --workers 1 -q", expected)


@pytest.mark.parametrize(("command", "expected"), OPTIONS)
def test_options(assay, command: str, expected: tuple[str, ...]) -> None:
    text = assay(command, expected)
    assert text.count("\n") == 1, text


@pytest.mark.parametrize(("name", "value", "expected"), VARIABLE_VALUES)
def test_variables(
    assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: tuple[str, ...]
) -> None:
    (tmp_path / "train.toml").write_text(TRAINING)
    monkeypatch.setenv(name, value)
    assay("train train.toml --dry-run", expected)


def test_fields_of_ones_own_stand_in_metadata(tmp_path: Path) -> None:
    from assay.suites import load_suite

    file = tmp_path / "problems.jsonl"
    file.write_text(PROBLEM.replace('"id"', '"metadata": {"level": 3, "tags": ["x"]}, "id"'))
    assert [problem.id for problem in load_suite("jsonl", path=file).problems] == ["a/0"]
