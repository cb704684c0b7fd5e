"""`assay plan` and `--dry-run` look: no code that a file names is imported, and nobody is asked, unless they may."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.harness.errors import BadInputError
from assay.harness.experiment import load_experiment
from assay.harness.experiment.access import Access
from assay.harness.pipeline.plan import make_plan
from tests.strangers import stranger

ROOT = Path(__file__).parents[3]
LOOK = Access(online=False, imports=False)
# Every look-up and connection of the process is written down, whoever makes it.
GUARD = """
import os, sys
log = open(os.environ["ASKED"], "a", buffering=1)
def hook(event, args):
    if event in ("socket.getaddrinfo", "socket.connect", "socket.sendto", "socket.gethostbyname"):
        print(event, args[1:] if event == "socket.connect" else args, file=log)
sys.addaudithook(hook)
from assay.harness.cli import main
main()
"""
CODE = "import pathlib; pathlib.Path({mark!r}).touch()\ndef f(row):\n    return row\n"
EXPERIMENT = """
name = "strange"
[suite]
name = "pocket"
limit = 2
[score]
reference = "a"
[[variant]]
name = "a"
model = "pocket"
"""
TRAIN = '[[variant]]\nname = "t"\ntrain = "a"\nconfig = {{ method = "sft", max_steps = 1 }}\ndata = {{ {data} }}\n'
ROWS = '{"prompt": "a", "completion": "b"}\n' * 4


class World:
    """A folder with a stranger's files, in which commands are run as a process of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.mark = folder, folder / "ran"
        (folder / "strange.py").write_text(CODE.format(mark=str(self.mark)))
        (folder / "rows.jsonl").write_text(ROWS)

    def assay(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        hidden = {"HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "OPENAI_API_KEY"}
        clean = {k: v for k, v in os.environ.items() if k not in hidden}
        own = {"ASKED": str(self.folder / "asked"), "HF_HOME": str(self.folder / "hf")}
        return subprocess.run(
            [sys.executable, "-c", GUARD, *arguments],
            cwd=self.folder,
            env=clean | own | {"PYTHONPATH": f"{ROOT}/src"} | more,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def asked(self) -> str:
        file = self.folder / "asked"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# What a stranger's experiment may name: (its text, the step whose id is then not known, what is said of it)
NAMED = {
    "code in a file": (
        TRAIN.format(data='file = "rows.jsonl", format = "strange.py:f"'),
        "train-t",
        "--import",
    ),
    "code in a module": (
        TRAIN.format(data='file = "rows.jsonl", format = "strange:f"'),
        "train-t",
        "--import",
    ),
    "data of the hub": (TRAIN.format(data='hub = "org/rows"'), "train-t", "'org/rows' was not fetched"),
    "a model of the hub": (
        '[[variant]]\nname = "b"\nmodel = "org/model"\n',
        "take-b",
        "org/model is not in the local",
    ),
    "a named revision": (
        '[[variant]]\nname = "b"\nmodel = "hf://org/model@v1"\n',
        "take-b",
        "is not in the local cache",
    ),
    "a server": ('[[variant]]\nname = "b"\nmodel = "{url}"\n', "take-b", "was not asked (--online asks it)"),
}


@pytest.mark.parametrize("case", NAMED)
def test_a_plan_runs_no_code_and_asks_nobody_and_says_so(case: str, world: World) -> None:
    text, step, said = NAMED[case]
    with stranger() as server:
        (world.folder / "e.toml").write_text(EXPERIMENT + text.replace("{url}", server.url))
        done = world.assay("plan", "e.toml", "--json", "--no-memory")
        assert done.returncode == 0, done.stderr
        assert server.asked == []
    assert world.asked == ""
    assert not world.mark.exists()
    plan = json.loads(done.stdout)
    ids = {one["name"]: one["id"] for one in plan["steps"]}
    assert ids[step] is None
    assert ids["take-a"] is not None
    assert plan["run"] is None
    assert plan["done"][step] is None
    assert [line for line in plan["left_out"] if said in line], plan["left_out"]


@pytest.mark.train
@pytest.mark.slow
def test_the_prediction_of_memory_asks_nobody_either_and_people_read_what_was_left_out(world: World) -> None:
    servers = NAMED["a server"][0].replace("{url}", "http://127.0.0.1:9/v1").replace('"b"', '"s"')
    (world.folder / "e.toml").write_text(
        EXPERIMENT + NAMED["code in a file"][0] + NAMED["a model of the hub"][0] + servers
    )
    done = world.assay("plan", "e.toml", "--results", "runs")
    assert done.returncode == 0, done.stderr
    for said in (
        "left out: variant 't': the data's format",
        "run not known",
        "predicted peak",
        "org/model is not in",
    ):
        assert said in done.stdout
    assert world.asked == ""
    assert not world.mark.exists()


def test_import_and_online_are_what_opens_the_door(world: World) -> None:
    (world.folder / "e.toml").write_text(EXPERIMENT + NAMED["code in a file"][0])
    done = world.assay("plan", "e.toml", "--json", "--import", "--no-memory")
    assert done.returncode == 0, done.stderr
    assert world.mark.exists()
    assert json.loads(done.stdout)["left_out"] == []
    assert world.asked == ""
    with stranger() as server:
        (world.folder / "e.toml").write_text(EXPERIMENT + NAMED["a server"][0].replace("{url}", server.url))
        done = world.assay("plan", "e.toml", "--json", "--online", "--no-memory")
        assert done.returncode == 0, done.stderr
        assert server.asked
        assert "socket.connect" in world.asked  # the guard sees what there is to see
        assert all(one["id"] for one in json.loads(done.stdout)["steps"])


def test_a_model_in_the_hubs_cache_is_taken_from_there_and_that_is_said(world: World) -> None:
    from assay.harness.models.resolve import POCKET_FOLDER

    at, commit = world.folder / "hf" / "hub" / "models--org--model", "c" * 40
    (at / "refs").mkdir(parents=True)
    (at / "refs" / "main").write_text(commit)
    shutil.copytree(POCKET_FOLDER, at / "snapshots" / commit)
    (world.folder / "e.toml").write_text(EXPERIMENT + NAMED["a model of the hub"][0])
    done = world.assay("plan", "e.toml", "--json", "--no-memory")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert all(one["id"] for one in plan["steps"])
    assert plan["left_out"] == [
        "org/model was taken from the local cache, commit cccccccccccc; the hub was not asked (--online asks it)"
    ]
    assert world.asked == ""


DRY = {
    "code in a file": (
        'base = "pocket"\n[data]\nfile = "rows.jsonl"\nformat = "strange.py:f"\n',
        0,
        "--import runs it",
    ),
    "code in a module": (
        'base = "pocket"\n[data]\nfile = "rows.jsonl"\nformat = "strange:f"\n',
        0,
        "--import runs it",
    ),
    "data of the hub": ('base = "pocket"\n[data]\nhub = "org/rows"\n', 0, "--online fetches it"),
    "problems of the hub": (
        'base = "pocket"\n[config]\nmethod = "ppo"\n[data]\nsuite = "humaneval"\nfile = "hub:org/rows"\n',
        0,
        "--online fetches it",
    ),
    "a base of the hub": ('base = "org/model"\n[data]\nfile = "rows.jsonl"\n', 3, "the hub was not asked"),
    "a server as base": ('base = "{url}"\n[data]\nfile = "rows.jsonl"\n', 3, "cannot be trained"),
}


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.parametrize("case", DRY)
def test_a_dry_run_runs_no_code_and_asks_nobody_and_says_so(case: str, world: World) -> None:
    text, code, said = DRY[case]
    with stranger() as server:
        (world.folder / "t.toml").write_text(text.replace("{url}", server.url))
        done = world.assay("train", "t.toml", "--dry-run", "--json")
        assert done.returncode == code, done.stderr
        assert server.asked == []
    assert world.asked == ""
    assert not world.mark.exists()
    assert said in (done.stderr if code else " ".join(json.loads(done.stdout)["left_out"]))
    assert "Traceback" not in done.stderr


@pytest.mark.train
@pytest.mark.slow
def test_a_push_that_sends_nothing_asks_nobody(world: World) -> None:
    from assay.harness.models.resolve import POCKET_FOLDER

    done = world.assay("push", "org/name", "--file", str(POCKET_FOLDER), "--json")
    assert done.returncode == 0, done.stderr
    assert world.asked == ""


def test_problems_of_the_hub_are_no_plan(tmp_path: Path) -> None:
    """Without the problems there is nothing to plan: the message says what to do."""
    for text in (
        EXPERIMENT.replace('name = "pocket"', 'name = "mbpp"\npath = "hub:org/rows"'),
        EXPERIMENT + '[[pairs]]\nname = "p"\nmodel = "a"\nsuite = { name = "mbpp", path = "hub:org/rows" }\n',
    ):
        (tmp_path / "e.toml").write_text(text)
        with pytest.raises(BadInputError, match=r"lie on the hub .*--online"):
            make_plan(load_experiment(tmp_path / "e.toml"), LOOK)


def test_what_is_at_hand_is_planned_as_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text(EXPERIMENT + TRAIN.format(data='suite = "pocket", n = 8'))
    looked, planned = (make_plan(load_experiment(tmp_path / "e.toml"), *access) for access in ((LOOK,), ()))
    assert [(s.name, s.id) for s in looked.steps] == [(s.name, s.id) for s in planned.steps]
    assert (looked.left_out, looked.unknown, looked.run_id) == ((), frozenset(), planned.run_id)


def test_what_is_made_of_an_unknown_model_is_planned(tmp_path: Path) -> None:
    """It may be an adapter, a base or a GGUF file: whatever the experiment makes of it is not refused."""
    text = """
[[variant]]
name = "b"
model = "org/model"
[[variant]]
name = "m"
merge = "b"
[[variant]]
name = "g"
export = "m"
quantize = "q8_0"
[[variant]]
name = "x"
export = "b"
"""
    (tmp_path / "e.toml").write_text(EXPERIMENT + text)
    environment: Any = pytest.MonkeyPatch()
    environment.setenv("HF_HOME", str(tmp_path))
    try:
        plan = make_plan(load_experiment(tmp_path / "e.toml"), LOOK)
    finally:
        environment.undo()
    assert {"take-b", "merge-m", "export-g", "export-x", "generate-x", "execute-m"} <= plan.unknown
    assert plan.unknown.isdisjoint({"take-a", "generate-a", "execute-a"})


def test_two_trainings_on_different_data_that_were_left_out_stay_two(tmp_path: Path) -> None:
    both = TRAIN.format(data='hub = "org/one"') + TRAIN.format(data='hub = "org/two"').replace('"t"', '"u"')
    (tmp_path / "e.toml").write_text(EXPERIMENT + both)
    plan = make_plan(load_experiment(tmp_path / "e.toml"), LOOK)
    assert plan.step("train-t").id != plan.step("train-u").id
    assert len(plan.left_out) == 2


def test_the_flags_belong_to_a_dry_run(world: World) -> None:
    (world.folder / "t.toml").write_text('base = "pocket"\n[data]\nfile = "rows.jsonl"\n')
    done = world.assay("train", "t.toml", "--online")
    assert done.returncode == 3
    assert "these are for --dry-run" in done.stderr
