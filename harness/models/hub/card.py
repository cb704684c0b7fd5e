"""The model card: front matter that the hub reads, and the measured table that people read.

Results go out in both of the hub's forms: `model-index` in the card, and `.eval_results/<suite>.yaml` for suites that
are benchmarks on the hub.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.harness.models.resolve import POCKET
from assay.harness.pipeline.steps.artifacts import TAKEN
from assay.harness.report.markdown import render_markdown

# registered suite → (dataset on the hub, its configuration, the split that is the benchmark): where a result is filed
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

    leaderboard: Mapping[str, Any]
    row: Mapping[str, Any]

    @property
    def suite(self) -> str:
        return str(self.leaderboard["suite"]["name"])

    @property
    def benchmark(self) -> tuple[str, str] | None:
        """Where the hub files this result: only the whole benchmark on its own split, never a part of it and never a
        user's file of the same name."""
        suite = self.leaderboard["suite"]
        found = BENCHMARKS.get(suite.get("registered", ""))
        whole = suite.get("limit") is None and suite["split"] in (None, found[2] if found else None)
        return found[:2] if found and whole else None

    def scores(self) -> dict[int, Mapping[str, Any]]:
        return {int(k): estimate for k, estimate in self.row["pass@k"].items()}

    def notes(self) -> str:
        s = self.leaderboard["sampling"]
        one = self.scores()[min(self.scores())]
        drawn = "greedy" if s["temperature"] == 0 else f"T={s['temperature']:g}, {s['samples']} samples"
        suite = self.leaderboard["suite"]
        cut = "".join(f", {k} {suite[k]}" for k in ("split", "limit") if suite.get(k) is not None)
        return (
            f"{self.suite}{cut}: pass@{min(self.scores())} {one['value']:.4f}, "
            f"{100 * self.leaderboard['confidence']:.0f}% interval {one['low']:.4f}-{one['high']:.4f} "
            f"({one['method']}, {one['n']} problems); "
            f"{s['style']} prompts, {drawn}; {self.leaderboard['isolation']['label']}"
        )


def render_card(
    name: str, kind: str, base_model: str | None, licence: str | None, recipe: str, measured: Measured | None
) -> str:
    """README.md. Without a measurement the card says `unmeasured`: it never carries a figure that no run gave."""
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
    made = f"Made by: {recipe}." if recipe else "How it was made is not recorded."
    origin = f" of `{base_model}`" if base_model else ""
    parts = [f"---\n{data.to_yaml()}\n---", f"# {name}", f"A {kind} model{origin}. {made}"]
    if measured is None:
        parts.append("## Measured\n\nunmeasured: no run of Assay was given when this was pushed.")
    else:
        table = render_markdown(public(measured.leaderboard)).replace("\n## ", "\n### ")
        parts.append(
            f"## Measured\n\nThis model is the variant `{measured.row['variant']}`. {measured.notes()}."
        )
        parts.append("##" + table)  # its title one level below ours
    return "\n\n".join(parts).rstrip() + "\n"


def eval_results(measured: Measured, date: str) -> dict[str, str]:
    """`.eval_results/*.yaml` by path, one file a k; empty where what was measured is no benchmark on the hub."""
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
            value=round(100 * estimate["value"], 2),
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

    suite = measured.leaderboard["suite"]
    dataset, config = measured.benchmark or (measured.suite, None)
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=dataset,
            dataset_name=measured.suite,
            dataset_config=config,
            dataset_split=suite["split"],
            metric_type="pass@k",
            metric_name=f"pass@{k}",
            metric_value=round(100 * estimate["value"], 2),
            metric_args={
                "k": k,
                "low": round(100 * estimate["low"], 2),
                "high": round(100 * estimate["high"], 2),
            },
        )
        for k, estimate in measured.scores().items()
    ]


def public(leaderboard: Mapping[str, Any]) -> dict[str, Any]:
    """The leaderboard without names of local files."""
    rows = [dict(row) | {"recipe": public_recipe(row["recipe"])} for row in leaderboard["rows"]]
    return dict(leaderboard) | {"rows": rows}


def public_recipe(recipe: str) -> str:
    """A model that was taken is called by its name on the hub, or else only a local one; a server has no address."""
    recipe = _ADDRESS.sub("a server", recipe)
    name, taken, _ = recipe.partition(TAKEN)
    if not taken or name == POCKET or _HUB_NAME.match(name):
        return recipe
    return f"a local model{TAKEN}"
