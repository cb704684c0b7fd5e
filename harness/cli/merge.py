"""`assay merge`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.harness.cli.app import Json, Quiet, app, print_json


@app.command()
def merge(
    base: Annotated[str, typer.Argument(help="The base model: pocket, a folder or a hub id.")],
    adapters: Annotated[list[Path], typer.Argument(help="Adapter folders, one or more.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to make.")],
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy",
            help="lora for one adapter; linear, cat, svd, ties, dare_linear, dare_ties, magnitude_prune, slerp, …_svd.",
        ),
    ] = "lora",
    weights: Annotated[str, typer.Option("--weights", help="One per adapter, such as 0.7,0.3.")] = "",
    density: Annotated[
        float | None, typer.Option("--density", help="Share of entries that pruning strategies keep.")
    ] = None,
    svd_rank: Annotated[
        int | None, typer.Option("--svd-rank", help="Rank that svd strategies cut to.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of what DARE drops.")] = 0,
    onto: Annotated[
        str,
        typer.Option(
            "--onto", help="full; trained: the base as the adapter saw it; nf4, fp4, int8: so quantised."
        ),
    ] = "full",
    dtype: Annotated[
        str, typer.Option("--dtype", help="How the sum is stored: fp32, bf16 or fp16.")
    ] = "fp32",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fold adapters into their base: one model folder that loads without PEFT."""
    from assay.harness.cli.options import table
    from assay.harness.console import Progress
    from assay.harness.models.resolve import adapter_of, describe_json, in_house_errors, resolve_model
    from assay.trainers.merge.recipe import MergeRecipe
    from assay.trainers.merge.write import load_change

    recipe = table(
        MergeRecipe,
        strategy=strategy,
        weights=parse_weights(weights),
        density=density,
        svd_rank=svd_rank,
        seed=seed,
        onto=onto,
        dtype=dtype,
    )
    model = resolve_model(base)
    found = [adapter_of(path, model) for path in adapters]
    stages = ["loading the base", "merging", "saving", "measuring the change"]
    with (
        Progress(enabled=not quiet).task("merge", total=len(stages), unit="stages") as task,
        in_house_errors(),
    ):
        from assay.trainers.merge import merge as do

        made = do(found, out, recipe, lambda stage: task.update(stages.index(stage), stage))
    change = load_change(out) or {}
    if as_json:
        print_json(describe_json(made) | {"change": change})
        return
    print(f"{out}: {made.recipe}")
    if change:
        print(
            f"  {change['tensors_changed']} of {change['tensors']} tensors changed, "
            f"by {change['relative_change']:.2%} of their norm"
        )
    print(f"  sha256 {made.sha256}")


def parse_weights(text: str) -> tuple[float, ...]:
    from assay.harness.errors import BadInputError

    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise BadInputError(
            f"--weights takes numbers separated by commas, such as 0.7,0.3; got {text!r}"
        ) from None
