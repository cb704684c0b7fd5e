from __future__ import annotations

import base64
import json
import zlib
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assay.harness.errors import BadInputError
from assay.harness.leaderboard.schema import (
    read_leaderboard,
)
from assay.harness.report import sample_browser
from assay.harness.report.sample_browser import check_samples, packed
from tests.harness.report.conftest import SyntheticRun


def embedded(run: SyntheticRun) -> dict[str, Any]:
    """What script.js unpacks."""
    data = packed(sample_browser.page_data(run.board, run.samples, run.problems))
    return json.loads(zlib.decompress(base64.b64decode(data, validate=True)))


def restored(page: dict[str, Any], variant: str) -> pd.DataFrame:
    """The frame again, from what the page holds."""
    columns = dict(page["samples"][variant])
    at = columns.pop("program_at")
    columns["problem_id"] = [page["problems"][place][0] for place in columns.pop("problem")]
    texts = [c for c in columns if c in sample_browser.TEXT_COLUMNS]
    columns |= {c: [page["strings"][i] for i in accumulate(columns[c])] for c in texts}
    joined = zip(columns["completion"], columns["program"], at, strict=True)
    columns["completion"] = [text if i < 0 else _put_back(text, program, i) for text, program, i in joined]
    return pd.DataFrame(columns)


def _put_back(around: str, program: str, at: int) -> str:
    units = around.encode("utf-16-le", "surrogatepass")
    both = units[: 2 * at] + program.encode("utf-16-le", "surrogatepass") + units[2 * at :]
    return both.decode("utf-16-le", "surrogatepass")


def test_every_sample_comes_back_from_the_page_as_it_was(run: SyntheticRun) -> None:
    base = run.samples["base"]
    base.loc[0, "completion"] = "🙂 漢\n" + base.loc[0, "program"] + " 🙂"  # beyond 16 bits before and after
    base.loc[1, ["completion", "program"]] = ["no program in it", ""]
    base.loc[2, "completion"] = base.loc[2, "program"]
    page = embedded(run)
    assert page["samples"]["base"]["program_at"][:3] == [5, -1, 0]
    for variant, frame in run.samples.items():
        columns = [*frame.columns]
        expected = frame.assign(seed=frame["seed"].astype(str))  # exact to the last of 64 bits
        pd.testing.assert_frame_equal(restored(page, variant)[columns], expected[columns], check_dtype=False)
    assert len(page["strings"]) == len(set(page["strings"]))
    assert page["kept_per_problem"] is None


def test_missing_values_are_null_and_empty_text(run: SyntheticRun) -> None:
    frame = run.samples["base"]
    frame["peak_bytes"] = frame["peak_bytes"].astype("Int64")
    frame.loc[0, "peak_bytes"] = pd.NA
    frame.loc[1, "cpu_s"] = np.nan
    frame["detail"] = frame["detail"].astype(object)
    frame.loc[0, "detail"] = None
    del frame["seed"]
    page = embedded(run)
    columns = page["samples"]["base"]
    assert columns["peak_bytes"][0] is None
    assert columns["cpu_s"][1] is None
    assert page["strings"][columns["detail"][0]] == ""
    assert "seed" not in columns


def test_too_many_samples_are_cut_at_one_index_for_all(
    run: SyntheticRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_browser, "MAX_SAMPLES", 500)  # 5 variants × 42 problems × 2 samples = 420 fit
    page = embedded(run)
    assert (page["total"], page["embedded"], page["kept_per_problem"]) == (840, 420, 2)
    assert {i for v in page["variants"] for i in page["samples"][v]["index"]} == {0, 1}


def test_a_long_output_is_cut_where_one_can_see_it(run: SyntheticRun) -> None:
    run.samples["base"]["output"] = "x" * (sample_browser.MAX_OUTPUT + 7)
    page = embedded(run)
    text = page["strings"][page["samples"]["base"]["output"][0]]
    assert text.endswith("\n… 7 more characters, cut here")
    assert len(text) < sample_browser.MAX_OUTPUT + 50


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: f.drop(columns="program"), "column 'program' is missing"),
        (lambda f: f.assign(outcome="passed"), "outcome 'passed' is none of"),
        (lambda f: f.assign(problem_id="other/1"), "'other/1' is not in suite pocket"),
    ],
)
def test_samples_that_do_not_fit_are_refused(run: SyntheticRun, spoil: Any, complaint: str) -> None:
    run.samples["merged"] = spoil(run.samples["merged"])
    board = read_leaderboard(run.leaderboard)

    def read() -> None:
        check_samples(board, run.samples)
        sample_browser.page_data(board, run.samples, run.problems)

    with pytest.raises(BadInputError, match=complaint):
        read()


def test_samples_without_a_row_are_refused(run: SyntheticRun) -> None:
    run.samples["ghost"] = run.samples["base"]
    with pytest.raises(BadInputError, match="'ghost' has no row"):
        check_samples(read_leaderboard(run.leaderboard), run.samples)
