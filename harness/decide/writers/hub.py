"""Results for the hub: a model card with its model-index, `.eval_results`, and the samples as a data set."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.harness.decide.writers.measured import MeasuredModel
from assay.harness.decide.writers.write import WRITERS, Written, storable
from assay.harness.errors import BadInputError
from assay.harness.models.hub.card import LIBRARY, Measured, eval_results, public_recipe, render_card
from assay.trainers.errors import needs_extra
from assay.trainers.files import publish

_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")  # of a repository on the hub
SPLIT = "test"


@WRITERS.register("hub")
def write_hub(measured: MeasuredModel, path: Path, /) -> Written:
    """A folder: `model/README.md` and `model/.eval_results/` go into the model's repository, and `samples/` is a data
    set with every sample and its verdict.

    The name of the model is its repository's; that of the data set, where one is given, is the results' source.
    """
    board, row = measured.board, measured.row
    if board is None or row is None:
        raise BadInputError(
            "a model card needs a run's figures: give RUN:VARIANT, a variant that is one row of its leaderboard"
        )
    name = hub_name(measured.model)
    if row.kind not in LIBRARY:
        raise BadInputError(f"{row.variant} is of kind {row.kind!r}, and a card is of {', '.join(LIBRARY)}")
    with needs_extra("train", "huggingface_hub"):
        import huggingface_hub  # noqa: F401
    facts = Measured(board, row)
    origin = json.dumps(measured.provenance(), indent=1, ensure_ascii=False)
    card = render_card(name, row.kind, None, None, public_recipe(row.recipe), facts)
    files = {
        "model/README.md": f"{card}\n## Origin of the figures\n\n```json\n{origin}\n```\n",
        "samples/README.md": _dataset_card(measured, origin),
    }
    results = eval_results(facts, board.created)
    files |= {f"model/{at}": _with_source(measured, text) for at, text in results.items()}
    with publish(path) as part:
        for at, text in files.items():
            (part / at).parent.mkdir(parents=True, exist_ok=True)
            (part / at).write_text(text, encoding="utf-8")
        _write_samples(measured, part / "samples" / f"{SPLIT}.parquet")
    notes = ["base model and licence are not known here: write them into model/README.md, or use assay push"]
    if not results:
        notes.append(f"no .eval_results: {measured.suite} as it was asked is no benchmark that the hub files")
    elif not measured.dataset:
        notes.append("the results name no source: --dataset OWNER/NAME names the data set of the samples")
    return Written(len(measured.samples), path, tuple(notes))


def hub_name(model: str) -> str:
    """Return the name of a model's repository. Raises BadInputError for what is none."""
    if not _NAME.fullmatch(model):
        raise BadInputError(f"{model!r:.80} is no repository: name the model by --model OWNER/NAME")
    return model


def _with_source(measured: MeasuredModel, text: str) -> str:
    """Return an entry of `.eval_results` with what judged it, and with the samples as its source."""
    import yaml
    from huggingface_hub import eval_result_entries_to_yaml, parse_eval_result_entries

    known = {"assay": measured.measured_by, "suite revision": measured.revision[:12]}
    more = "; ".join(f"{name} {value}" for name, value in known.items() if value)
    entries = [
        replace(entry, notes=f"{entry.notes}; {more}", **_source(measured))
        for entry in parse_eval_result_entries(yaml.safe_load(text))
    ]
    return str(yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True))


def _source(measured: MeasuredModel) -> dict[str, Any]:
    if not measured.dataset:
        return {}
    url = f"https://huggingface.co/datasets/{hub_name(measured.dataset)}"
    return {"source_url": url, "source_name": "samples and verdicts"}


def _dataset_card(measured: MeasuredModel, origin: str) -> str:
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        pretty_name=f"{measured.model} on {measured.suite}: samples and verdicts",
        tags=["code", "assay", "evaluation"],
        configs=[{"config_name": "default", "data_files": [{"split": SPLIT, "path": f"{SPLIT}.parquet"}]}],
    )
    return (
        f"---\n{data.to_yaml()}\n---\n\n# {measured.model} on {measured.suite}\n\n"
        f"Every sample of {measured.model} with its verdict: `outcome` is what the sandbox said, and infra is no "
        f"verdict. `answer` is what the model wrote, `program` what was judged.\n\n```json\n{origin}\n```\n"
    )


def _write_samples(measured: MeasuredModel, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = list(_rows(measured))
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    origin = {b"assay": json.dumps(measured.provenance()).encode()}
    pq.write_table(table.replace_schema_metadata(origin), path)


def _rows(measured: MeasuredModel) -> Iterator[Mapping[str, Any]]:
    for sample in measured.samples:
        yield {
            "model": measured.model,
            "suite": measured.suite,
            "problem": sample.problem,
            "sample": sample.index,
            "outcome": sample.outcome,
            "passed": sample.passed,
            "detail": storable(sample.detail),
            "prompt": storable(sample.prompt),
            "answer": storable(sample.text),
            "program": storable(sample.program),
            **({} if sample.base_passed is None else {"base_passed": sample.base_passed}),
            **sample.more,
        }
