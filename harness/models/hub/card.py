"""Write the model card: front matter that the hub reads, and the measured table that people read.

Results go out in both of the hub's forms: `model-index` in the card, and `.eval_results/<suite>.yaml` for suites that
are benchmarks on the hub.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from assay.harness.leaderboard.schema import Estimate, Leaderboard, Row
from assay.harness.models.resolve import POCKET
from assay.harness.pipeline.steps.artifacts import TAKEN
from assay.harness.report.markdown import render_markdown
from assay.harness.report.wording import of_problems

# Where a result is filed: registered suite → (dataset on the hub, its configuration, the split that is the benchmark).
BENCHMARKS: dict[str, tuple[str, str, str | None]] = {
    "humaneval": ("openai/openai_humaneval", "openai_humaneval", None),
    "mbpp": ("google-research-datasets/mbpp", "full", "test"),
    "humaneval+": ("evalplus/humanevalplus", "default", None),
    "mbpp+": ("evalplus/mbppplus", "default", None),
}
_HUB_NAME = re.compile(r"^(hf://)?[\w-][\w.-]*/[\w.-]+(@[\w./-]+)?$")
_ADDRESS = re.compile(r"https?://[^\s;,]+")
LIBRARY = {"base": "transformers", "merged": "transformers", "adapter": "peft", "gguf": "gguf"}


@dataclass(frozen=True, slots=True)
class Measured:
    """The row of a leaderboard that is about the model being pushed, with the leaderboard it stands in."""

    leaderboard: Leaderboard
    row: Row

    @property
    def suite(self) -> str:
        """The suite's name."""
        return self.leaderboard.suite.name

    @property
    def benchmark(self) -> tuple[str, str] | None:
        """Return the benchmark under which the hub files this result.

        Only the whole benchmark on its own split is filed, never a part and never a user's file of the same name."""
        suite = self.leaderboard.suite
        filed = BENCHMARKS.get(suite.registered)
        if filed is None or suite.limit is not None or suite.split not in (None, filed[2]):
            return None
        return filed[:2]

    def scores(self) -> dict[int, Estimate]:
        """pass@k with its interval, by k; what was not measured is left out."""
        return {k: e for k, e in self.row.pass_at_k.items() if e.value is not None}

    def notes(self) -> str:
        """Return the origin of the figure in one line."""
        board, k = self.leaderboard, min(self.row.pass_at_k)
        sampling, first = board.sampling, self.row.pass_at_k[k]
        temperature, samples = sampling["temperature"], sampling["samples"]
        drawn = "greedy" if temperature == 0 else f"T={temperature:g}, {samples} samples"
        parts = (("split", board.suite.split), ("limit", board.suite.limit))
        cut = "".join(f", {name} {value}" for name, value in parts if value is not None)
        return (
            f"{self.suite}{cut}: pass@{k} {first.value:.4f}, "
            f"{100 * board.confidence:.0f}% interval {first.low:.4f}-{first.high:.4f} "
            f"({first.method}, {of_problems(board, first.n)} problems); "
            f"{sampling['style']} prompts, {drawn}; {board.isolation['label']}"
        )


def render_card(
    name: str, kind: str, base_model: str | None, licence: str | None, recipe: str, measured: Measured | None
) -> str:
    """Return README.md. Without a measurement it says `unmeasured`: it never carries a figure that no run gave."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        base_model=base_model,
        library_name=LIBRARY[kind],
        license=licence,
        pipeline_tag="text-generation",
        tags=["code", "assay", *(["gguf"] if kind == "gguf" else [])],
        model_name=name.partition("/")[2],
        eval_results=_model_index(measured) if measured else None,
    )
    origin = f"Made by: {recipe}." if recipe else "How it was made is not recorded."
    base = f" of `{base_model}`" if base_model else ""
    parts = [f"---\n{data.to_yaml()}\n---", f"# {name}", f"A {kind} model{base}. {origin}"]
    if measured is None:
        parts.append("## Measured\n\nunmeasured: no run of Assay was given when this was pushed.")
    else:
        table = render_markdown(public(measured.leaderboard)).replace("\n## ", "\n### ")
        parts.append(
            f"## Measured\n\nThis model is the variant `{measured.row.variant}`. {measured.notes()}."
        )
        parts.append("##" + table)  # its title one level below ours
    return "\n\n".join(parts).rstrip() + "\n"


def eval_results(measured: Measured, date: str) -> dict[str, str]:
    """Return `.eval_results/*.yaml` by path, one file a k; empty where the suite is no benchmark on the hub."""
    if measured.benchmark is None:
        return {}
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    dataset, task = measured.benchmark
    files = {}
    for k, estimate in measured.scores().items():
        entry = EvalResultEntry(
            dataset_id=dataset,
            task_id=task,
            value=_percent(estimate.value),
            date=date,
            notes=measured.notes() if k == 1 else f"pass@{k}; {measured.notes()}",
        )
        stem = measured.suite.replace("+", "_plus") + ("" if k == 1 else f"_pass_at_{k}")
        files[f".eval_results/{stem}.yaml"] = yaml.safe_dump(
            eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True
        )
    return files


def _model_index(measured: Measured) -> list[Any]:
    from huggingface_hub import EvalResult

    dataset, config = measured.benchmark or (measured.suite, None)
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=dataset,
            dataset_name=measured.suite,
            dataset_config=config,
            dataset_split=measured.leaderboard.suite.split,
            metric_type="pass@k",
            metric_name=f"pass@{k}",
            metric_value=_percent(estimate.value),
            metric_args={"k": k, "low": _percent(estimate.low), "high": _percent(estimate.high)},
        )
        for k, estimate in measured.scores().items()
    ]


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def public(leaderboard: Leaderboard) -> Leaderboard:
    """Return the leaderboard without names of local files."""
    rows = (row.model_copy(update={"recipe": public_recipe(row.recipe)}) for row in leaderboard.rows)
    return leaderboard.model_copy(update={"rows": tuple(rows)})


def public_recipe(recipe: str) -> str:
    """Return a recipe without local paths and addresses: a taken model has its hub name or is `a local model`."""
    recipe = _ADDRESS.sub("a server", recipe)
    name, taken, _ = recipe.partition(TAKEN)
    if not taken or name == POCKET or _HUB_NAME.match(name):
        return recipe
    return f"a local model{TAKEN}"
