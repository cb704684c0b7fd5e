"""The architecture of a model from its Hugging Face config.json alone: every weight's shape and bytes, without torch.

Only architectures whose weights are known here, and held against transformers' own by a test, are taken; another is
refused by name, because a count that is nearly right is worse than none. The course's tiers are data here: each tier's
model, its published architecture, and the memory that the course says it needs.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from assay.harness.errors import BadInputError
from assay.harness.models.resolve import POCKET, POCKET_FOLDER

Dtype = Literal["fp32", "bf16", "fp16"]
WeightFormat = Literal["fp32", "bf16", "fp16", "int8", "nf4", "fp4"]
Attention = Literal["eager", "sdpa", "flash"]

CONFIG = "config.json"
DEFAULT_TIER = "small"
WIDTH: dict[str, int] = {"fp32": 4, "bf16": 2, "fp16": 2}  # bytes of a number
QUANTISED: tuple[WeightFormat, ...] = ("int8", "nf4", "fp4")
# bitsandbytes' defaults (Dettmers et al. 2023, arXiv 2305.14314): one scale for 64 weights; with double quantisation
# the scales are 8-bit numbers themselves, with one fp32 scale for 256 of them.
BLOCK = 64
SCALES_PER_BLOCK = 256
_DTYPES: dict[str, Dtype] = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True, slots=True)
class Family:
    """The weights in which an architecture differs from Llama's. `biases` and `head_norms` None: the config says."""

    qkv_bias: bool | None = None
    o_bias: bool | None = None
    mlp_bias: bool | None = None
    head_norms: bool = False
    tied: bool = False
    needs_head_dim: bool = False


# `tied` is what transformers takes where the config is silent.
FAMILIES: dict[str, Family] = {
    "qwen2": Family(qkv_bias=True, o_bias=False, mlp_bias=False),
    "llama": Family(),
    "mistral": Family(qkv_bias=False, o_bias=False, mlp_bias=False),
    "qwen3": Family(mlp_bias=False, head_norms=True, needs_head_dim=True),
}


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear layer of a block: weight [outputs, inputs], bias [outputs] where it has one."""

    name: str
    inputs: int
    outputs: int
    bias: bool = False

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs


@dataclass(frozen=True, slots=True)
class Architecture:
    """A decoder-only transformer of Llama's build.

    `assumptions` name what the config did not say and what was taken for it.
    """

    name: str
    model_type: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool
    dtype: Dtype
    max_positions: int
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    head_norms: bool = False
    tokenizer_size: int | None = None
    assumptions: tuple[str, ...] = ()

    @property
    def block(self) -> tuple[Linear, ...]:
        """The linear layers of one block, in the order in which they are computed."""
        h, f = self.hidden, self.intermediate
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return (
            Linear("q_proj", h, q, self.qkv_bias),
            Linear("k_proj", h, kv, self.qkv_bias),
            Linear("v_proj", h, kv, self.qkv_bias),
            Linear("o_proj", q, h, self.o_bias),
            Linear("gate_proj", h, f, self.mlp_bias),
            Linear("up_proj", h, f, self.mlp_bias),
            Linear("down_proj", f, h, self.mlp_bias),
        )

    @property
    def linear_parameters(self) -> int:
        """Weights of all blocks' linear layers: what 4- and 8-bit loading quantises. Biases are not among them."""
        return self.layers * sum(linear.weights for linear in self.block)

    @property
    def embedding_parameters(self) -> int:
        return self.vocab * self.hidden

    @property
    def head_parameters(self) -> int:
        """The output head's own weights; none where it is the embedding again."""
        return 0 if self.tied else self.vocab * self.hidden

    @property
    def small_parameters(self) -> int:
        """Norms and biases."""
        biases = sum(linear.outputs for linear in self.block if linear.bias)
        norms = 2 * self.hidden + (2 * self.head_dim if self.head_norms else 0)
        return self.layers * (biases + norms) + self.hidden

    @property
    def parameters(self) -> int:
        return (
            self.linear_parameters + self.embedding_parameters + self.head_parameters + self.small_parameters
        )

    @property
    def kv_values_per_token(self) -> int:
        """Numbers that the key-value cache keeps of each token: keys and values of every layer."""
        return 2 * self.layers * self.kv_heads * self.head_dim

    @property
    def padded_rows(self) -> int | None:
        """Rows of the embedding that no token of the tokenizer uses; None where the tokenizer is not known."""
        return None if self.tokenizer_size is None else self.vocab - self.tokenizer_size


def read_architecture(path: Path, name: str = "") -> Architecture:
    """Return the architecture of a model folder or of a config.json.

    Raises BadInputError that names the file and what is wrong.
    """
    file = path / CONFIG if path.is_dir() else path
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInputError(f"no such file: {file}; give a model's folder or its {CONFIG}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInputError(f"{file} is not a JSON file: {error}") from None
    if not isinstance(config, dict):
        raise BadInputError(f"{file}: expected an object, found {type(config).__name__}")
    return parse_architecture(config, name=name or str(path), tokenizer_size=_tokenizer_size(file.parent))


def parse_architecture(
    config: Mapping[str, Any], *, name: str, tokenizer_size: int | None = None
) -> Architecture:
    """Return the architecture that a config.json's content describes.

    Raises BadInputError for an unknown model_type.
    """
    kind = config.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise BadInputError(
            f"{name}: model_type {kind!r} is not known here, so its memory cannot be predicted; "
            f"known: {', '.join(sorted(FAMILIES))}"
        )
    assumed: list[str] = []
    number = _Numbers(config, name, assumed)
    hidden, heads = number.required("hidden_size"), number.required("num_attention_heads")
    if family.needs_head_dim:
        head_dim = number.required("head_dim")
    else:
        head_dim = number.optional("head_dim") or hidden // heads
        if head_dim * heads != hidden and config.get("head_dim") is None:
            raise BadInputError(f"{name}: hidden_size {hidden} is no multiple of num_attention_heads {heads}")
    kv_heads = number.optional("num_key_value_heads")
    if kv_heads is None:
        kv_heads = heads
        assumed.append(f"num_key_value_heads is not in the config: taken as num_attention_heads, {heads}")
    attention_bias = bool(config.get("attention_bias", False))
    return Architecture(
        name=name,
        model_type=str(kind),
        hidden=hidden,
        layers=number.required("num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate=number.required("intermediate_size"),
        vocab=number.required("vocab_size"),
        tied=bool(config.get("tie_word_embeddings", family.tied)),
        dtype=_dtype(config, assumed),
        max_positions=number.optional("max_position_embeddings") or 0,
        qkv_bias=attention_bias if family.qkv_bias is None else family.qkv_bias,
        o_bias=attention_bias if family.o_bias is None else family.o_bias,
        mlp_bias=bool(config.get("mlp_bias", False)) if family.mlp_bias is None else family.mlp_bias,
        head_norms=family.head_norms,
        tokenizer_size=tokenizer_size,
        assumptions=tuple(assumed),
    )


@dataclass(frozen=True, slots=True)
class _Numbers:
    config: Mapping[str, Any]
    name: str
    assumed: list[str]

    def optional(self, key: str) -> int | None:
        value = self.config.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BadInputError(f"{self.name}: {key} must be a whole number of at least 1, got {value!r}")
        return value

    def required(self, key: str) -> int:
        value = self.optional(key)
        if value is None:
            raise BadInputError(f"{self.name}: the config has no {key}")
        return value


def _dtype(config: Mapping[str, Any], assumed: list[str]) -> Dtype:
    named = config.get("dtype") or config.get("torch_dtype")
    if named is None:
        assumed.append("the config names no dtype: bf16 taken")
        return "bf16"
    dtype = _DTYPES.get(str(named))
    if dtype is None:
        raise BadInputError(f"dtype {named!r} is not known here; known: {', '.join(_DTYPES)}")
    return dtype


def _tokenizer_size(folder: Path) -> int | None:
    """Return one more than the highest id of the tokenizer beside the config; None where there is none to read."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return None
    try:
        spec = json.loads(file.read_text(encoding="utf-8"))
        vocabulary = spec["model"]["vocab"]
        ids = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
        return 1 + max(int(i) for i in (*ids, *(token["id"] for token in spec.get("added_tokens", ()))))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{file} is not a tokenizer of the tokenizers library: {error!r}") from None


@dataclass(frozen=True, slots=True)
class Tier:
    """`claim_bytes` is the course's figure for the memory that the tier needs; None where it names none."""

    name: str
    model: str
    architecture: Architecture
    claim_bytes: int | None


def published_config(tier: str) -> dict[str, Any]:
    """Return the tier's published config.json, from which transformers can build the model without its weights."""
    name = _row(tier).get("config")
    file = POCKET_FOLDER / CONFIG if name is None else files(__package__) / "tier_configs" / name
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return config


def find_tier(name: str) -> Tier:
    """Return the tier called `name`. Raises BadInputError that lists the known ones."""
    row = _row(name)
    model = row["model"]
    if model == POCKET:
        architecture = read_architecture(POCKET_FOLDER, name=POCKET)
    else:
        architecture = parse_architecture(
            published_config(name), name=model, tokenizer_size=row["tokenizer_size"]
        )
    claim = row.get("claim_gb")
    return Tier(name, model, architecture, None if claim is None else round(claim * 1e9))


def tier_names() -> list[str]:
    """Return all tiers, the smallest first."""
    return list(_table())


def _row(name: str) -> dict[str, Any]:
    rows = _table()
    if name not in rows:
        near = difflib.get_close_matches(name, rows, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise BadInputError(f"no tier {name!r}{hint} Known: {', '.join(rows)}")
    return rows[name]


@lru_cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads((files(__package__) / "tier_configs" / "tiers.toml").read_text(encoding="utf-8"))


def gib(n: int) -> str:
    """Return bytes as people read them: GiB, small ones in MiB."""
    return f"{n / 2**30:.2f} GiB" if n >= 2**30 // 10 else f"{n / 2**20:.1f} MiB"


def is_float(weights: WeightFormat) -> bool:
    return weights not in QUANTISED


def matrix_bytes(rows: int, columns: int, weights: WeightFormat, *, double_quant: bool) -> int:
    """Return the bytes of a weight matrix [rows, columns] with the scales that belong to it.

    nf4 and fp4: 4 bits a weight and a scale for each 64, fp32 (4.5 bits in all) or, with `double_quant`, 8-bit with
    an fp32 scale for each 256 (4.126953 bits). Their code books, 64 B a matrix and 1 KiB a model, are left out. int8
    (LLM.int8, arXiv 2208.07339): 8 bits and an fp32 scale for each row.
    """
    n = rows * columns
    match weights:
        case "nf4" | "fp4":
            blocks = -(-n // BLOCK)
            packed = -(-n // 2)
            if not double_quant:
                return packed + 4 * blocks
            return packed + blocks + 4 * -(-blocks // SCALES_PER_BLOCK)
        case "int8":
            return n + 4 * rows
        case _:
            return n * WIDTH[weights]
