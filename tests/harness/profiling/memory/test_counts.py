"""Counts and bytes in closed form, against the published figures and against the libraries' own objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.harness.errors import BadInputError
from assay.harness.profiling.memory import (
    ATTENTION,
    Architecture,
    adapter_parameters,
    find_tier,
    parse_architecture,
    predict,
    read_architecture,
    tier_names,
)
from assay.harness.profiling.memory.architecture import matrix_bytes
from assay.harness.profiling.memory.optimizers import OPTIMIZERS, Trained, state_bytes
from tests.harness.profiling.memory.setups import adapter_table, make_setup

ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The Qwen2.5-Coder table: parameters, in quantised linears, LoRA per rank on q/k/v/o and on all seven linears, KV bytes
# a token in 16 bits, padded vocabulary rows.
TIERS = {
    "tiny": (494_032_768, 357_826_560, 135_168, 549_888, 12_288, 271),
    "small": (1_543_714_304, 1_310_195_712, 272_384, 1_154_048, 28_672, 271),
    "medium": (7_615_616_512, 6_525_288_448, 630_784, 2_523_136, 57_344, 399),
    "large": (32_763_876_352, 31_205_621_760, 2_097_152, 8_388_608, 262_144, 399),
}
# GB (1e9): bf16 weights; NF4+DQ linears with the rest in bf16 and in fp32; both with a rank-16 all-linear LoRA and fp32
# Adam; a full fine-tune at 16 bytes a parameter.
GIGABYTES = {
    "tiny": ("0.99", "0.46", "0.73", "0.60", "0.87", "7.9"),
    "small": ("3.09", "1.14", "1.61", "1.44", "1.91", "24.7"),
    "medium": ("15.23", "5.55", "7.73", "6.19", "8.37", "121.8"),
    "large": ("65.5", "19.21", "22.33", "21.36", "24.48", "524"),
}
WEIGHTS = ("linear weights", "embedding", "output head", "norms and biases")
TRAINED = (*WEIGHTS, "adapter", "optimizer state", "gradients", "first block's gradients")


def gigabytes(architecture: Architecture, names: tuple[str, ...], method: Any, **changes: Any) -> float:
    prediction = predict(architecture, make_setup(method, architecture, **changes))
    return sum(map(prediction.bytes_of, names)) / 1e9


def test_the_tiers_stand_from_small_to_large() -> None:
    assert tier_names() == ["pocket", *TIERS]


@pytest.mark.parametrize("tier", TIERS)
def test_counts_of_the_published_configs(tier: str) -> None:
    a = find_tier(tier).architecture
    found = (
        a.parameters,
        a.linear_parameters,
        adapter_parameters(a, adapter_table(rank=1, targets=ATTENTION)),
        adapter_parameters(a, adapter_table(rank=1)),
        2 * a.kv_values_per_token,
        a.padded_rows,
    )
    assert found == TIERS[tier]


@pytest.mark.parametrize("tier", GIGABYTES)
def test_gigabytes_of_the_published_table(tier: str) -> None:
    a = find_tier(tier).architecture
    found = (
        gigabytes(a, WEIGHTS, "inference"),
        gigabytes(a, WEIGHTS, "qlora", upcast=False),
        gigabytes(a, WEIGHTS, "qlora"),
        gigabytes(a, TRAINED, "qlora", upcast=False),
        gigabytes(a, TRAINED, "qlora"),
        gigabytes(a, TRAINED, "full"),
    )
    rounded = [f"{n:.{len(t.partition('.')[2])}f}" for n, t in zip(found, GIGABYTES[tier], strict=True)]
    assert tuple(rounded) == GIGABYTES[tier]


def test_trainable_parameters_of_the_course() -> None:
    a = find_tier("small").architecture
    assert adapter_parameters(a, adapter_table(rank=16)) == 18_464_768
    assert adapter_parameters(a, adapter_table(rank=8, targets=ATTENTION)) == 2_179_072


@pytest.mark.parametrize(("double", "bits"), [(True, 4.126953), (False, 4.5)])
def test_bits_of_a_4_bit_weight(double: bool, bits: float) -> None:
    rows, columns = 4096, 4096  # whole blocks, so that nothing is rounded up
    assert 8 * matrix_bytes(rows, columns, "nf4", double_quant=double) / (rows * columns) == pytest.approx(
        bits, abs=5e-7
    )


def test_logits_in_fp32_take_what_the_table_says() -> None:
    a = find_tier("tiny").architecture
    prediction = predict(a, make_setup("lora", a, length=4096, loss="full"))
    assert prediction.bytes_of("logits") / 3 / 2**30 == pytest.approx(2.32, abs=0.005)


def test_the_pocket_model_is_counted_as_its_file_says() -> None:
    from safetensors import safe_open

    from assay.harness.models.resolve import POCKET_FOLDER

    a = read_architecture(POCKET_FOLDER)
    with safe_open(POCKET_FOLDER / "model.safetensors", framework="np") as file:
        names = list(file.keys())
        stored = sum(int.__mul__(*([*file.get_slice(n).get_shape(), 1][:2])) for n in names)
    assert a.parameters == stored == 3_608_832
    assert a.padded_rows == 18


SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 128,
    "dtype": "bfloat16",
}


@pytest.mark.train
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("qwen2", {"tie_word_embeddings": True}),
        ("qwen2", {"tie_word_embeddings": False}),
        ("llama", {}),
        ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
        ("llama", {"head_dim": 32}),
        ("mistral", {}),
        ("qwen3", {"head_dim": 32, "tie_word_embeddings": True}),
        ("qwen3", {"head_dim": 16, "attention_bias": True}),
    ],
)
def test_counts_equal_transformers_own(kind: str, more: dict[str, Any]) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = {"model_type": kind} | SMALL | more
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    ours = parse_architecture(config, name=kind)
    assert ours.parameters == sum(p.numel() for p in model.parameters())
    linears = [
        m.weight.numel()
        for n, m in model.named_modules()
        if isinstance(m, torch.nn.Linear) and "lm_head" not in n
    ]
    assert ours.linear_parameters == sum(linears)


@pytest.mark.train
@pytest.mark.parametrize("kind", ["lora", "dora", "loha", "lokr"])
@pytest.mark.parametrize("rank", [1, 4, 12])
def test_adapters_count_as_peft_counts(kind: Any, rank: int) -> None:
    import torch
    from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    config = {"model_type": "qwen2"} | SMALL
    names = [linear.name for linear in parse_architecture(config, name="small").block]
    made: dict[str, Any] = {
        "lora": lambda: LoraConfig(r=rank, target_modules=names),
        "dora": lambda: LoraConfig(r=rank, target_modules=names, use_dora=True),
        "loha": lambda: LoHaConfig(r=rank, target_modules=names),
        "lokr": lambda: LoKrConfig(r=rank, target_modules=names),
    }
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=torch.float32)
    adapted = get_peft_model(model, made[kind]())
    by_peft = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert adapter_parameters(parse_architecture(config, name="small"), adapter_table(kind, rank)) == by_peft


@pytest.mark.train
@pytest.mark.parametrize(("rows", "columns"), [(96, 64), (64, 130), (256, 512)])
@pytest.mark.parametrize(("kind", "double"), [("nf4", True), ("nf4", False), ("fp4", True)])
def test_4_bit_bytes_equal_bitsandbytes(rows: int, columns: int, kind: Any, double: bool) -> None:
    import torch
    from bitsandbytes.functional import quantize_4bit

    packed, state = quantize_4bit(
        torch.randn(rows, columns), blocksize=64, quant_type=kind, compress_statistics=double
    )
    stored = packed.nbytes + state.absmax.nbytes + (state.state2.absmax.nbytes if double else 0)
    assert matrix_bytes(rows, columns, kind, double_quant=double) == stored


@pytest.mark.train
def test_int8_bytes_equal_bitsandbytes() -> None:
    import torch
    from bitsandbytes.functional import int8_vectorwise_quant

    quantised, scales, _ = int8_vectorwise_quant(torch.randn(96, 130, dtype=torch.float16))
    assert matrix_bytes(96, 130, "int8", double_quant=True) == quantised.nbytes + scales.nbytes


@pytest.mark.train
@pytest.mark.parametrize("name", ["adamw_torch", "adafactor", "sgd", "adamw_8bit"])
def test_optimiser_state_equals_the_libraries_own(name: Any) -> None:
    import bitsandbytes as bnb
    import torch
    from transformers.optimization import Adafactor

    shapes = [(128, 64), (1, 64), (16, 640)]
    parameters = [torch.nn.Parameter(torch.randn(*(s if s[0] > 1 else s[1:]))) for s in shapes]
    made: dict[str, Any] = {
        "adamw_torch": lambda: torch.optim.AdamW(parameters),
        "adafactor": lambda: Adafactor(parameters, scale_parameter=False, relative_step=False, lr=1e-3),
        "sgd": lambda: torch.optim.SGD(parameters, lr=1e-3),
        "adamw_8bit": lambda: bnb.optim.AdamW8bit(parameters),
    }
    optimizer = made[name]()
    for p in parameters:
        p.grad = torch.ones_like(p)
    optimizer.step()
    # The 8-bit code books (qmap1, qmap2) are shared, and a step counter is a single number.
    stored = sum(
        value.nbytes
        for state in optimizer.state.values()
        for key, value in state.items()
        if isinstance(value, torch.Tensor) and value.numel() > 1 and not key.startswith("qmap")
    )
    assert state_bytes(name, [Trained(r, c, 1, 4) for r, c in shapes]) == stored


@ANY_SPEED
@given(st.integers(1, 300), st.integers(1, 300))
def test_quantising_never_needs_more_than_the_next_wider_format(rows: int, columns: int) -> None:
    double, single = (matrix_bytes(rows, columns, "nf4", double_quant=d) for d in (True, False))
    assert double <= single + 4
    assert matrix_bytes(rows, columns, "bf16", double_quant=True) * 2 == matrix_bytes(
        rows, columns, "fp32", double_quant=True
    )


@ANY_SPEED
@given(st.sampled_from(OPTIMIZERS), st.integers(1, 9), st.integers(1, 9))
def test_state_is_counted_tensor_by_tensor(name: Any, rows: int, count: int) -> None:
    one = state_bytes(name, [Trained(rows, 1024, 1, 4)])
    assert state_bytes(name, [Trained(rows, 1024, count, 4)]) == count * one


def test_unknown_architectures_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_embd": 768}))
    with pytest.raises(BadInputError, match=r"'gpt2' is not known here.*qwen2"):
        read_architecture(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, "no hidden_size"),
        ({"hidden_size": "64"}, "hidden_size must be a whole number of at least 1, got '64'"),
        ({"num_hidden_layers": True}, "num_hidden_layers must be a whole number"),
        ({"hidden_size": 65}, "no multiple of num_attention_heads"),
        ({"dtype": "float8"}, "dtype 'float8' is not known"),
    ],
)
def test_a_bad_config_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        parse_architecture({"model_type": "llama"} | SMALL | change, name="broken")


def test_what_the_config_does_not_say_is_stated() -> None:
    config = {"model_type": "llama"} | {
        k: v for k, v in SMALL.items() if k not in ("num_key_value_heads", "dtype")
    }
    a = parse_architecture(config, name="old")
    assert a.kv_heads == a.heads
    assert len(a.assumptions) == 2
    assert a.padded_rows is None


def test_a_target_that_the_model_lacks_is_refused() -> None:
    a = find_tier("tiny").architecture
    with pytest.raises(BadInputError, match="no linear layer 'query'; it has: q_proj, k_proj"):
        adapter_parameters(a, adapter_table(targets=("query",)))
