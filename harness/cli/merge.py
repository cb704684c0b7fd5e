"""`assay merge`: adapters folded into their base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from assay.harness.cli.app import print_json, verb
from assay.harness.cli.options import SHOWN, Shown, parse_numbers, table


@verb()
def merge(
    base: Annotated[str, Argument(help="The base model: pocket, a folder or a hub id.")],
    adapters: Annotated[list[Path], Argument(help="Adapter folders, one or more.")],
    out: Annotated[Path, Option("--out", "-o", help="The folder to write.")],
    strategy: Annotated[
        str,
        Option(
            help="The way to combine the adapters: lora for one; linear, cat, svd, ties, dare_linear, dare_ties, "
            "magnitude_prune, slerp, …_svd for several."
        ),
    ] = "lora",
    weights: Annotated[
        str,
        Option(help="The weight of each adapter, separated by commas, such as 0.7,0.3; left out, 1/n each."),
    ] = "",
    density: Annotated[
        float | None, Option(help="The share of entries that the pruning strategies keep.")
    ] = None,
    svd_rank: Annotated[int | None, Option(help="The rank that strategies ending in svd cut to.")] = None,
    seed: Annotated[int, Option(help="The seed of the entries that DARE drops.")] = 0,
    onto: Annotated[
        str,
        Option(
            help="The base: full as stored, trained as the adapter saw it, or quantised to nf4, fp4, int8."
        ),
    ] = "full",
    dtype: Annotated[str, Option(help="The type that the sum is stored in: fp32, bf16 or fp16.")] = "fp32",
    shown: Shown = SHOWN,
) -> None:
    """Fold adapters into their base: one model folder that loads without PEFT."""
    from assay.harness.models.resolve import adapter_of, describe_json, resolve_model
    from assay.trainers.merge.recipe import MergeRecipe
    from assay.trainers.merge.write import load_change

    recipe = table(
        MergeRecipe,
        strategy=strategy,
        weights=parse_numbers("--weights", weights, float, "0.7,0.3"),
        density=density,
        svd_rank=svd_rank,
        seed=seed,
        onto=onto,
        dtype=dtype,
    )
    model = resolve_model(base)
    sources = [adapter_of(path, model) for path in adapters]
    stages = ["loading the base", "merging", "saving", "measuring the change"]
    with shown.progress().task("merge", total=len(stages), unit="stages") as task:
        from assay.trainers.merge import merge as do

        merged = do(sources, out, recipe, lambda stage: task.update(stages.index(stage), stage))
    change = load_change(out) or {}
    if shown.as_json:
        print_json(describe_json(merged) | {"change": change})
        return
    print(f"{out}: {merged.recipe}")
    if change:
        print(
            f"  {change['tensors_changed']} of {change['tensors']} tensors changed, "
            f"by {change['relative_change']:.2%} of their norm"
        )
    print(f"  sha256 {merged.sha256}")
