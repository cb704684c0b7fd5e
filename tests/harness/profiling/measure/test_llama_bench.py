"""llama-bench's definitions on the pocket model's GGUF."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.models.resolve import POCKET_FOLDER
from assay.harness.profiling.measure import Job
from assay.harness.profiling.measure.job import Source
from assay.harness.profiling.measure.llama_bench import _rates, llama_bench
from assay.trainers.artifact import Artifact, ArtifactKind, identify

pytestmark = [pytest.mark.train, pytest.mark.gguf]


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    from assay.trainers.gguf import export_gguf

    return export_gguf(identify(POCKET_FOLDER), tmp_path_factory.mktemp("gguf") / "pocket.gguf", "f16")


@pytest.mark.slow
def test_the_command_gives_both_beside_its_own_phases(gguf: Artifact, tmp_path: Path) -> None:
    workload = ["--prompt-tokens", "600", "--new-tokens", "8", "--repeats", "3", "--threads", "1"]
    asked = ["profile", str(gguf.path), *workload, "--phases", "load", "--device", "cpu", "-o", str(tmp_path)]
    done = CliRunner().invoke(app, [*asked, "--json", "-q"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)["llama_bench"]
    assert list(made["tests"]) == ["pp600", "tg8"]
    assert (made["threads"], made["warmup_dropped"]) == (1, 1)
    (raw,) = tmp_path.glob("*.jsonl")
    kept: dict[str, Any] = json.loads(raw.read_text().splitlines()[-1])
    assert kept["event"] == "llama_bench"
    for name, key, tokens in (("pp600", "pp", 600), ("tg8", "tg", 8)):
        rates = [tokens / s for s in kept["seconds"][key]]
        assert made["tests"][name] == {
            "n": 3,
            "mean": pytest.approx(statistics.mean(rates)),
            "sd": pytest.approx(statistics.stdev(rates)),
        }


def test_a_single_repeat_has_no_spread() -> None:
    assert _rates(128, [2.0]) == {"n": 1, "mean": 64.0, "sd": None}


def test_a_file_that_cannot_be_run_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and no more")
    source = Source.of(Artifact(ArtifactKind.GGUF, broken, "0" * 64))
    job = Job(name="broken", source=source, repeats=1, device="cpu", threads=1)
    found = llama_bench(job, tmp_path / "raw.jsonl")
    assert set(found) == {"unmeasured"}
    assert "broken.gguf" in found["unmeasured"]
    assert not (tmp_path / "raw.jsonl").exists()
