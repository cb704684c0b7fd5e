"""`assay export`: a model as one GGUF file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from assay.harness.cli.app import new_table, print_json, verb
from assay.harness.cli.options import SHOWN, Model, Shown, one_of
from assay.harness.errors import BadInputError

if TYPE_CHECKING:
    from assay.trainers.artifact import Artifact


@verb()
def export(
    model: Model,
    out: Annotated[Path | None, Option("--out", "-o", help="The file to write.")] = None,
    format: Annotated[str, Option(help="The format: gguf.")] = "gguf",
    quantize: Annotated[
        str,
        Option(
            help="The type of the weights: f32, f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m, …; --plan lists all."
        ),
    ] = "f16",
    plan: Annotated[
        bool, Option("--plan", help="Print how large the file of each type would be, and write nothing.")
    ] = False,
    over: Annotated[
        Path | None,
        Option(help="A GGUF file of an adapter's base, on which the exported adapter is loaded once."),
    ] = None,
    rounding: Annotated[
        bool, Option("--rounding/--no-rounding", help="Measure every tensor's rounding error (RMSE).")
    ] = True,
    threads: Annotated[int, Option(min=0, help="CPU threads; 0 is one per core.")] = 0,
    shown: Shown = SHOWN,
) -> None:
    """Write a model as one GGUF file for llama.cpp.

    An adapter becomes a GGUF LoRA file. The file is loaded once to test it.
    """
    from assay.harness.equivalence.states import state_of
    from assay.harness.equivalence.weights import compare_weights, weight_lines
    from assay.harness.models.resolve import describe_json, resolve_model
    from assay.trainers.artifact import ArtifactKind

    one_of("--format", format, ("gguf",))
    source = resolve_model(model)
    if plan:
        _plan(source, as_json=shown.as_json)
        return
    if out is None:
        raise BadInputError("give the file to write with -o FILE.gguf, or --plan to print sizes only")
    progress = shown.progress()
    with progress.task(f"export {out.name}"):
        artifact = _export(source, out, quantize, over, threads)
    weights = None
    if rounding and source.kind is not ArtifactKind.ADAPTER:
        with progress.task("rounding errors"):
            weights = compare_weights(state_of(source), state_of(artifact))
    size = artifact.path.stat().st_size
    if shown.as_json:
        reason = "--no-rounding" if not rounding else "an adapter's factors are written in F32"
        unmeasured = {"weights": None, "unmeasured": {"weights": reason}}
        measured = {"weights": weights.to_json()} if weights else unmeasured
        print_json(describe_json(artifact) | {"size_bytes": size} | measured)
        return
    print(f"{out}: {size:,} bytes, {artifact.recipe}\n  sha256 {artifact.sha256}")
    for line in [] if weights is None else weight_lines(weights):
        print(f"  {line}")


def _export(source: Artifact, out: Path, quantize: str, over: Path | None, threads: int) -> Artifact:
    import os

    from assay.trainers.artifact import ArtifactKind
    from assay.trainers.gguf import export_adapter, export_gguf

    if source.kind is ArtifactKind.ADAPTER:
        if quantize not in ("f16", "f32"):
            raise BadInputError(
                f"--quantize {quantize!r}: an adapter's factors are written in F32; to quantise, merge it first"
            )
        return export_adapter(source, out, over=over)
    if over is not None:
        raise BadInputError("--over is for adapters; this model needs no base")
    return export_gguf(source, out, quantize, threads=threads or len(os.sched_getaffinity(0)))


def _plan(source: Artifact, *, as_json: bool) -> None:
    from assay.trainers.artifact import ArtifactKind
    from assay.trainers.gguf.sizes import predict_sizes

    if source.kind not in (ArtifactKind.BASE, ArtifactKind.TUNED, ArtifactKind.MERGED):
        raise BadInputError(
            f"--plan needs a base, tuned or merged model; {source.path} is of kind {source.kind}"
        )
    sizes = predict_sizes(source)
    if as_json:
        rows = [asdict(p) | {"refusal": p.refusal or None} for p in sizes]
        print_json({"model": str(source.path), "sizes": rows})
        return
    from assay.harness.console import terminal

    columns = ("type", "bytes", "bits a weight", "")
    table = new_table(f"{source.path.name} as GGUF", *columns, right=columns[1:3], box=None)
    for p in sizes:
        size = "" if p.bytes is None else f"{p.bytes:,}"
        bits = "" if p.bits_per_weight is None else f"{p.bits_per_weight:.2f}"
        table.add_row(p.quantize, size, bits, p.refusal)
    terminal(plain_width=120).print(table)
