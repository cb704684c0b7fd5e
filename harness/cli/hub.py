"""`assay import` and `assay push`: models of the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from assay.harness.cli.app import print_json, verb
from assay.harness.cli.options import SHOWN, Shown


@verb(name="import")
def import_(
    name: Annotated[
        str, Argument(help="The model: hf://org/name or hf://org/name@revision; hf:// may be left out.")
    ],
    out: Annotated[Path, Option("--out", "-o", help="The folder to write.")],
    file: Annotated[
        str | None, Option(help="Fetch this GGUF file of the repository, in place of its safetensors.")
    ] = None,
    shown: Shown = SHOWN,
) -> None:
    """Fetch a model from the Hugging Face Hub.

    Its commit, every file's hash and its licence are recorded.
    """
    from assay.harness.models.hub import import_model

    with shown.progress().task(f"import {name}"):
        imported = import_model(name, out, file=file)
    if shown.as_json:
        print_json(imported.to_json())
        return
    from assay.harness.formatting import size

    print(f"{imported.repository} at {imported.commit} → {imported.folder}")
    print(
        f"licence: {imported.licence}; from the {'hub' if imported.source == 'hub' else 'local hub cache, offline'}"
    )
    for item in imported.files:
        print(
            f"  {item.path:32} {size(item.size_bytes):>10}  sha256 {item.sha256[:16]}…  {item.verified} verified"
        )


@verb()
def push(
    repository: Annotated[str, Argument(help="The repository on the hub: org/name.")],
    model: Annotated[Path, Option("--file", help="The model: a folder or a .gguf file.")],
    run: Annotated[
        Path | None, Option(help="A run's folder, whose figures for this model go into the card.")
    ] = None,
    base: Annotated[str | None, Option(help="The base model's name on the hub.")] = None,
    licence: Annotated[
        str | None, Option("--license", help="The model's licence; left out, the base's, if it is recorded.")
    ] = None,
    dry_run: Annotated[
        bool,
        Option("--dry-run/--send", help="Print what would be sent, or send it with the token in HF_TOKEN."),
    ] = True,
    private: Annotated[bool, Option("--private", help="Make a new repository private.")] = False,
    shown: Shown = SHOWN,
) -> None:
    """Publish a model on the Hugging Face Hub with a card of its figures.

    Nothing is sent without --send.
    """
    from assay.harness.models.hub import plan_push, send

    progress = shown.progress()
    planned = plan_push(repository, model, run=run, base_model=base, licence=licence)
    sent = None if dry_run else send(planned, private=private, on_progress=progress.say)
    if shown.as_json:
        print_json(planned.to_json() | {"sent": sent})
        return
    from assay.harness.formatting import size

    print(f"{planned.artifact.kind.value} {model} → {planned.repository} ({size(planned.size_bytes)})")
    for item in planned.items:
        print(f"  {item.path:40} {size(item.size_bytes):>10}  sha256 {item.sha256[:16]}…")
    for note in planned.notes:
        print(f"note: {note}")
    if sent is None:
        card = next(i.source for i in planned.items if i.path == "README.md")
        assert isinstance(card, bytes)
        print(f"\n--- README.md\n{card.decode()}---\nnothing was sent; --send sends it")
    else:
        print(f"sent as commit {sent['commit']}; {sent['verified_files']} files verified: {sent['url']}")
