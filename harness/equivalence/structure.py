"""What is said about a model beside its weights, and decides its answers all the same: rope, heads, norms, context."""

from __future__ import annotations

from typing import Any

from assay.trainers.artifact import Artifact, ArtifactKind, model_folder

_SAME = 1e-6  # relative: GGUF keeps fp32 figures


def structure_of(artifact: Artifact) -> dict[str, Any]:
    """The figures a runtime takes from the file, under one set of names."""
    if artifact.kind is ArtifactKind.GGUF:
        return _of_gguf(artifact)
    return _of_folder(artifact)


def token_types_of(artifact: Artifact) -> list[int]:
    """GGUF's type of every token id. llama.cpp mends some wrong ones as it loads (ends of text that are not marked as
    control tokens); other runtimes do not."""
    if artifact.kind is ArtifactKind.GGUF:
        import gguf

        return [
            int(t) for t in gguf.GGUFReader(str(artifact.path)).fields["tokenizer.ggml.token_type"].contents()
        ]
    from assay.trainers.gguf.architectures import read_architecture
    from assay.trainers.gguf.vocabulary import read_vocabulary

    folder = model_folder(artifact)
    return [int(t) for t in read_vocabulary(folder, read_architecture(folder).config["vocab_size"]).types]


def compare_token_types(a: list[int], b: list[int]) -> list[str]:
    """What differs, in words."""
    from assay.trainers.gguf.vocabulary import TokenType

    other = [i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y]
    if not other:
        return []
    i = other[0]
    found, expected = (TokenType(t).name if t in set(TokenType) else str(t) for t in (b[i], a[i]))
    return [f"{len(other)} of {len(a)} tokens have another type, as id {i}: {found} instead of {expected}"]


def compare_structure(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """What differs, in words."""
    return [
        f"{key} is {b.get(key)} instead of {a.get(key)}"
        for key in sorted({*a, *b})
        if not _alike(a.get(key), b.get(key))
    ]


def _alike(x: Any, y: Any) -> bool:
    if isinstance(x, int | float) and isinstance(y, int | float):
        return abs(x - y) <= _SAME * max(abs(x), abs(y))
    return bool(x == y)


def _of_folder(artifact: Artifact) -> dict[str, Any]:
    from assay.trainers.gguf.architectures import read_architecture

    architecture = read_architecture(model_folder(artifact))
    rope, config = architecture.rope, architecture.config
    found = {
        "architecture": architecture.name,
        "layers": architecture.layers,
        "heads": architecture.heads,
        "key/value heads": architecture.kv_heads,
        "head width": architecture.head_dim,
        "norm epsilon": config["rms_norm_eps"],
        "context": config["max_position_embeddings"],
        "rope base": rope["rope_theta"],
        # llama3's is in a tensor of its own, which is compared with the others
        "rope scaling": "default" if rope["rope_type"] == "llama3" else rope["rope_type"],
    }
    if rope["rope_type"] in ("linear", "yarn"):
        found["rope scaling factor"] = rope["factor"]
    if rope["rope_type"] == "yarn":
        found["rope original context"] = rope.get("original_max_position_embeddings") or found["context"]
    return found


def _of_gguf(artifact: Artifact) -> dict[str, Any]:
    import gguf

    fields = gguf.GGUFReader(str(artifact.path)).fields

    def value(key: str, default: Any = None) -> Any:
        return fields[key].contents() if key in fields else default

    name = value("general.architecture")
    heads = value(f"{name}.attention.head_count")
    scaling = value(f"{name}.rope.scaling.type", "default")
    found = {
        "architecture": name,
        "layers": value(f"{name}.block_count"),
        "heads": heads,
        "key/value heads": value(f"{name}.attention.head_count_kv", heads),
        "head width": value(
            f"{name}.attention.key_length", value(f"{name}.embedding_length", 0) // (heads or 1)
        ),
        "norm epsilon": value(f"{name}.attention.layer_norm_rms_epsilon"),
        "context": value(f"{name}.context_length"),
        "rope base": value(f"{name}.rope.freq_base", 10000.0),  # llama.cpp's own default
        "rope scaling": "default" if scaling == "none" else scaling,
    }
    if scaling in ("linear", "yarn"):
        found["rope scaling factor"] = value(f"{name}.rope.scaling.factor")
    if scaling == "yarn":
        found["rope original context"] = value(
            f"{name}.rope.scaling.original_context_length", found["context"]
        )
    return found
