"""Import and push by the command line, against a hub on loopback and with none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.harness.leaderboard.schema import read_leaderboard
from assay.harness.models.hub.card import Measured, eval_results, render_card
from assay.harness.models.resolve import POCKET_FOLDER
from assay.trainers.artifact import identify
from tests.harness.models.hub.fake_hub import TOKEN, FakeHub
from tests.harness.report.synthetic_run import make_leaderboard, make_problems, make_samples

pytestmark = pytest.mark.slow

CARD = b"---\nlicense: apache-2.0\n---\n# A model\n"
MODEL = {p.name: p.read_bytes() for p in POCKET_FOLDER.iterdir() if p.is_file() and p.name != "artifact.json"}
ROOT = Path(__file__).parents[4]


@dataclass
class World:
    """A hub, an empty cache, and the command line set to use both."""

    hub: FakeHub
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def assay(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        return subprocess.run(
            [sys.executable, "-c", "from assay.harness.cli import main; main()", *arguments],
            cwd=ROOT,
            env=kept
            | {
                "HF_ENDPOINT": self.hub.url,
                "HF_HOME": str(self.folder / "hf"),
                "HF_HUB_DISABLE_XET": "1",
                "NO_PROXY": "127.0.0.1",
                "no_proxy": "127.0.0.1",
            }
            | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def json(self, *arguments: str, **variables: str) -> Any:
        done = self.assay(*arguments, "--json", **variables)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with FakeHub() as hub:
        yield World(hub, tmp_path)


def refused(done: subprocess.CompletedProcess[str], *said: str, code: int = 3) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for words in said:
        assert words in done.stderr


def test_an_import_records_commit_hashes_and_licence_and_is_a_model(world: World) -> None:
    first = world.hub.repository("org/coder").commit(
        MODEL | {"README.md": CARD, "pytorch_model.bin": b"pickle"}
    )
    world.hub.repository("org/coder").commit(MODEL | {"README.md": CARD, "later.json": b"{}"})
    out = world.folder / "coder"
    made = world.json("import", f"hf://org/coder@{first}", "-o", str(out))
    assert (made["commit"], made["licence"], made["source"]) == (first, "apache-2.0", "hub")
    by_path = {f["path"]: f for f in made["files"]}
    assert by_path["model.safetensors"]["verified"] == "sha256"
    assert by_path["config.json"]["verified"] == "git-sha1"
    assert not (out / "pytorch_model.bin").exists()
    assert identify(out).sha256 == identify(POCKET_FOLDER).sha256
    record = json.loads((out / "import.json").read_text())
    assert record["repository"] == "org/coder"
    assert str(world.folder) not in json.dumps(record)


@pytest.mark.slow
def test_the_cache_is_used_offline_and_an_incomplete_one_is_not(world: World) -> None:
    world.hub.repository("org/coder").commit(MODEL)
    world.json("import", "org/coder", "-o", str(world.folder / "a"))
    world.hub.requests.clear()
    made = world.json("import", "org/coder", "-o", str(world.folder / "b"), HF_HUB_OFFLINE="1")
    assert made["source"] == "cache"
    assert made["licence"] == "unstated"
    assert world.hub.requests == []
    for weights in world.folder.glob("hf/hub/models--org--coder/snapshots/*/model.safetensors"):
        weights.unlink()
    done = world.assay("import", "org/coder", "-o", str(world.folder / "c"), HF_HUB_OFFLINE="1")
    refused(done, "not whole in the local hub cache", "HF_HUB_OFFLINE is set")
    assert not (world.folder / "c").exists()


@pytest.mark.slow
def test_a_hub_that_does_not_answer_leaves_the_cache(world: World, closed_port: int) -> None:
    world.hub.repository("org/coder").commit(MODEL)
    world.json("import", "org/coder", "-o", str(world.folder / "a"))
    gone = {"HF_ENDPOINT": f"http://127.0.0.1:{closed_port}"}
    assert world.json("import", "org/coder", "-o", str(world.folder / "b"), **gone)["source"] == "cache"
    done = world.assay("import", "org/other", "-o", str(world.folder / "c"), **gone)
    refused(done, "org/other", "the hub does not answer")


@pytest.mark.slow
def test_a_showcase_of_what_cannot_be_fetched_is_unmeasured(world: World, closed_port: int) -> None:
    given = (
        "showcase",
        "--tier",
        "tiny",
        "--steps",
        "infer",
        "--results",
        str(world.folder / "runs"),
        "--json",
    )
    done = world.assay(*given, HF_ENDPOINT=f"http://127.0.0.1:{closed_port}")
    assert done.returncode == 2, done.stderr
    first, second = json.loads(done.stdout)["steps"]
    assert (first["step"], first["status"], second["status"]) == ("import", "unmeasured", "unmeasured")
    assert "is not whole in the local hub cache and the hub does not answer" in first["said"]


@pytest.mark.slow
def test_a_second_import_does_nothing_and_never_overwrites(world: World) -> None:
    repository = world.hub.repository("org/coder")
    first = repository.commit(MODEL)
    out = world.folder / "coder"
    world.json("import", "org/coder", "-o", str(out))
    weights = (out / "model.safetensors").stat().st_mtime_ns
    assert world.json("import", "org/coder", "-o", str(out))["commit"] == first
    assert (out / "model.safetensors").stat().st_mtime_ns == weights
    (out / "config.json").write_text("{}")
    refused(world.assay("import", "org/coder", "-o", str(out)), "was changed since")
    refused(world.assay("import", "org/another", "-o", str(out)), "holds org/coder")
    assert (out / "config.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"pytorch_model.bin": b"x", "config.json": b"{}"}, "as pickles only"),
        ({"model.apr": b"x", "config.json": b"{}"}, "APR format, which is unsupported"),
        ({"a-q8_0.gguf": b"GGUF", "a-q4.gguf": b"GGUF"}, "name one with --file: a-q4.gguf, a-q8_0.gguf"),
        ({"config.json": b"{}"}, "holds no weights"),
    ],
)
def test_what_cannot_be_imported_is_named(world: World, files: dict[str, bytes], said: str) -> None:
    world.hub.repository("org/odd").commit(files)
    refused(world.assay("import", "hf://org/odd", "-o", str(world.folder / "odd")), said)
    assert not (world.folder / "odd").exists()


@pytest.mark.slow
def test_one_gguf_file_is_imported_by_name(world: World) -> None:
    world.hub.repository("org/ggufs").commit(
        {"a[1].gguf": b"GGUF one", "b.gguf": b"GGUF two", "README.md": CARD}
    )
    made = world.json("import", "org/ggufs", "--file", "a[1].gguf", "-o", str(world.folder / "g"))
    assert [f["path"] for f in made["files"]] == ["a[1].gguf", "README.md"]
    refused(
        world.assay("import", "org/ggufs", "--file", "c.gguf", "-o", str(world.folder / "h")),
        "no file 'c.gguf'",
    )


@pytest.mark.slow
def test_refusals_name_what_is_wrong(world: World) -> None:
    world.hub.repository("org/coder").commit(MODEL)
    world.hub.repository("org/gated").gated = True
    out = str(world.folder / "x")
    refused(world.assay("import", "hf://org/none", "-o", out), "no repository 'org/none'")
    refused(world.assay("import", "org/coder@v9", "-o", out), "org/coder has no revision 'v9'")
    refused(world.assay("import", "org/gated", "-o", out), "gives access on request")
    refused(world.assay("import", "hf://only-a-name", "-o", out), "is not a hub name")
    refused(world.assay("import", "hf://org/model.apr", "-o", out), "APR format (.apr) is unsupported")


def test_a_damaged_download_is_refused(world: World) -> None:
    world.hub.repository("org/coder").commit(MODEL)
    world.hub.corrupt.add("model.safetensors")
    done = world.assay("import", "org/coder", "-o", str(world.folder / "x"))
    refused(done, "model.safetensors is damaged")
    assert not (world.folder / "x").exists()


def a_run(folder: Path, suite: str, sha256: str) -> Path:
    problems = make_problems(40)
    board = make_leaderboard(problems, make_samples(problems))
    board["suite"] |= {"name": suite, "registered": suite, "split": None, "limit": None}
    board["rows"][0]["sha256"] = sha256
    run = folder / "run"
    run.mkdir()
    (run / "leaderboard.json").write_text(json.dumps(board))
    return run


@pytest.mark.parametrize(
    "other",
    [{"registered": "jsonl"}, {"limit": 20}, {"split": "train"}],
    ids=["a file", "a part", "another split"],
)
def test_only_the_whole_benchmark_is_filed_as_one(tmp_path: Path, other: dict[str, Any]) -> None:
    board = json.loads((a_run(tmp_path, "humaneval", "0" * 64) / "leaderboard.json").read_text())

    def measured() -> Measured:
        leaderboard = read_leaderboard(board)
        return Measured(leaderboard, leaderboard.rows[0])

    assert list(eval_results(measured(), "2026-01-01T00:00:00Z")) != []
    board["suite"] |= other
    assert eval_results(measured(), "2026-01-01T00:00:00Z") == {}
    assert all(str(v) in measured().notes() for k, v in other.items() if k != "registered")


def test_a_card_names_no_local_file_and_no_address(tmp_path: Path) -> None:
    board = json.loads((a_run(tmp_path, "humaneval", "0" * 64) / "leaderboard.json").read_text())
    taken = (
        "/home/alice/secret/base",
        "C:\\secret\\x",
        "https://me:secret@host/v1",
        "org/coder@v1",
        "pocket",
    )
    for row, name in zip(board["rows"], taken, strict=False):
        row["recipe"] = f"{name}, taken as it is"
    leaderboard = read_leaderboard(board)
    card = render_card("me/x", "base", None, None, "", Measured(leaderboard, leaderboard.rows[0]))
    assert "secret" not in card
    assert "org/coder@v1, taken as it is" in card
    assert "pocket, taken as it is" in card


def test_a_push_is_a_dry_run_until_told_to_send(world: World) -> None:
    run = a_run(world.folder, "humaneval", identify(POCKET_FOLDER).sha256)
    arguments = ["push", "me/tuned", "--file", str(POCKET_FOLDER), "--run", str(run), "--license", "mit"]
    planned = world.json(*arguments, HF_TOKEN=TOKEN)
    assert planned["sent"] is None
    assert world.hub.requests == []
    assert {f["path"] for f in planned["files"]} >= {
        "README.md",
        "assay.json",
        "model.safetensors",
        ".eval_results/humaneval.yaml",
    }
    assert "artifact.json" not in {f["path"] for f in planned["files"]}


@pytest.mark.slow
def test_what_is_sent_carries_the_measured_figures_and_is_verified(world: World) -> None:
    run = a_run(world.folder, "humaneval", identify(POCKET_FOLDER).sha256)
    row = json.loads((run / "leaderboard.json").read_text())["rows"][0]
    arguments = [
        "push",
        "me/tuned",
        "--file",
        str(POCKET_FOLDER),
        "--run",
        str(run),
        "--license",
        "mit",
        "--send",
    ]
    sent = world.json(*arguments, HF_TOKEN=TOKEN)["sent"]
    repository = world.hub.repositories["me/tuned"]
    files = repository.commits[sent["commit"]]
    assert sent["verified_files"] == len(files)
    assert files["model.safetensors"] == MODEL["model.safetensors"]
    front = yaml.safe_load(files["README.md"].decode().split("---")[1])
    assert front["license"] == "mit"
    (metric, *_) = front["model-index"][0]["results"][0]["metrics"]
    assert metric["value"] == pytest.approx(100 * row["pass@k"]["1"]["value"], abs=0.005)
    (entry,) = yaml.safe_load(files[".eval_results/humaneval.yaml"])
    assert entry["dataset"]["id"] == "openai/openai_humaneval"
    assert entry["value"] == pytest.approx(100 * row["pass@k"]["1"]["value"], abs=0.005)
    assert all(TOKEN.encode() not in content for content in files.values())
    back = world.json("import", "me/tuned", "-o", str(world.folder / "back"), HF_TOKEN=TOKEN)
    assert back["licence"] == "mit"
    assert identify(world.folder / "back").sha256 == identify(POCKET_FOLDER).sha256


def test_a_file_that_arrived_changed_fails_the_push(world: World) -> None:
    world.hub.corrupt.add("model.safetensors")
    done = world.assay("push", "me/tuned", "--file", str(POCKET_FOLDER), "--send", HF_TOKEN=TOKEN)
    refused(done, "model.safetensors on the hub is not what was sent", code=1)


def test_an_unmeasured_model_says_so(world: World) -> None:
    done = world.assay("push", "me/tuned", "--file", str(POCKET_FOLDER))
    assert done.returncode == 0
    assert "unmeasured: no run of Assay was given" in done.stdout
    assert "nothing was sent" in done.stdout
    assert "model-index" not in done.stdout


@pytest.mark.slow
def test_the_token_comes_from_the_environment_and_goes_nowhere(world: World) -> None:
    model = world.folder / "model"
    shutil.copytree(POCKET_FOLDER, model, ignore=shutil.ignore_patterns("artifact.json"))
    arguments = ["push", "me/tuned", "--file", str(model), "--send"]
    refused(world.assay(*arguments), "HF_TOKEN")
    done = world.assay(*arguments, HF_TOKEN="hf_a_token_that_is_wrong")
    refused(done, "the push to me/tuned failed")
    assert "hf_a_token_that_is_wrong" not in done.stdout + done.stderr
    (model / "NOTICE").write_text(f"secret {TOKEN}")
    refused(world.assay(*arguments, HF_TOKEN=TOKEN), "NOTICE contains the token")
    assert "me/tuned" not in world.hub.repositories


@pytest.mark.slow
def test_local_paths_stay_here(world: World) -> None:
    adapter = world.folder / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    config = {"base_model_name_or_path": str(POCKET_FOLDER), "peft_type": "LORA"}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    arguments = ["push", "me/adapter", "--file", str(adapter)]
    refused(world.assay(*arguments), "as its base: name it on the hub with --base")
    world.json(*arguments, "--base", "org/base", "--send", HF_TOKEN=TOKEN)
    repository = world.hub.repositories["me/adapter"]
    files = repository.commits[repository.refs["main"]]
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "org/base"
    assert all(str(POCKET_FOLDER).encode() not in content for content in files.values())


@pytest.mark.slow
def test_a_run_that_did_not_measure_this_model_is_refused(world: World) -> None:
    run = a_run(world.folder, "humaneval", "0" * 64)
    done = world.assay("push", "me/tuned", "--file", str(POCKET_FOLDER), "--run", str(run))
    refused(done, "has no row for")
    refused(
        world.assay("push", "me/t", "--file", str(POCKET_FOLDER), "--run", str(world.folder)),
        "no leaderboard at",
    )
