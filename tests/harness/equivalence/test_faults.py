"""Every fault that a copy has been seen to have is caught and named; the healthy copy beside it is not flagged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.harness.equivalence import Link
from assay.trainers import Artifact, identify
from assay.trainers.gguf import export_gguf
from assay.trainers.gguf.vocabulary import TokenType
from assay.trainers.merge import merge_adapter
from tests.harness.equivalence.conftest import Chain, edited, with_token_type

pytestmark = [pytest.mark.slow, pytest.mark.train, pytest.mark.gguf]
Hold = Callable[[Artifact, Artifact], Link]
CONTROL, NORMAL, USER_DEFINED = 3, 1, 4
END_OF_TURN = 2


def test_the_healthy_chain_is_not_flagged(chain: Chain, held_against: Hold) -> None:
    for a, b in (
        (chain.adapter, chain.merged),
        (chain.merged, chain.f16),
        (chain.adapter, chain.f16),
        (chain.tied, chain.tied_f16),
    ):
        link = held_against(a, b)
        assert link.faults == (), (a.path, b.path)
        assert link.verdict == "equivalent", link.reason
        assert link.tokens.equal == link.tokens.texts == 16


def test_quantised_it_has_no_fault_and_is_not_called_the_same(chain: Chain, held_against: Hold) -> None:
    link = held_against(chain.merged, chain.q8_0)
    assert link.faults == ()
    assert link.weights is not None
    assert link.weights.adapter_scale == pytest.approx(1, abs=0.02)
    assert link.verdict == "undecided"
    assert "pass@1 was not measured" in link.reason


@pytest.mark.parametrize("kind", [None, "f16", "q8_0"])
@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_wrong_lora_scale(
    chain: Chain, held_against: Hold, tmp_path: Path, factor: float, kind: str | None
) -> None:
    """alpha read wrong: the copy holds the adapter twice, or half. In 8 bits it still shows."""
    shutil.copytree(chain.adapter.path, tmp_path / "adapter")
    (tmp_path / "adapter" / "artifact.json").unlink()
    config = tmp_path / "adapter" / "adapter_config.json"
    said = json.loads(config.read_text())
    config.write_text(json.dumps(said | {"lora_alpha": said["lora_alpha"] * factor}))
    wrong = merge_adapter(identify(tmp_path / "adapter", base=chain.base), tmp_path / "merged")
    if kind is not None:
        wrong = export_gguf(wrong, tmp_path / "wrong.gguf", kind)
    link = held_against(chain.adapter, wrong)
    assert link.verdict == "worse"
    assert link.weights is not None
    assert link.weights.adapter_scale == pytest.approx(factor, abs=0.05)
    assert any(f"at {factor:.2f} of its scale" in fault for fault in link.faults)


def zero_query_biases(weights: dict[str, Any]) -> None:
    for name in weights:
        if name.endswith("q_proj.bias"):
            weights[name] = weights[name] * 0


@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_a_lost_bias(chain: Chain, held_against: Hold, tmp_path: Path, kind: str) -> None:
    wrong = export_gguf(edited(chain.merged, tmp_path / "m", zero_query_biases), tmp_path / "m.gguf", kind)
    link = held_against(chain.merged, wrong)
    assert link.verdict == "worse"
    assert any("attn_q.bias: 1 of its norm" in fault for fault in link.faults)


@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_a_wrong_rope_base(chain: Chain, held_against: Hold, tmp_path: Path, kind: str) -> None:
    rope = {"rope_type": "default", "rope_theta": 1_000_000.0}
    wrong = export_gguf(edited(chain.merged, tmp_path / "m", rope_parameters=rope), tmp_path / "m.gguf", kind)
    link = held_against(chain.merged, wrong)
    assert link.verdict == "worse"
    assert link.structure == ("rope base is 1000000.0 instead of 10000.0",)
    assert link.distribution is not None
    assert link.distribution.kl_mean > 1e-3  # and the answers show it


def test_a_missing_head(chain: Chain, held_against: Hold, tmp_path: Path) -> None:
    """A model with a head of its own, written as if it had none: llama.cpp takes the embedding and says nothing."""
    wrong = export_gguf(
        edited(chain.merged, tmp_path / "m", tie_word_embeddings=True), tmp_path / "m.gguf", "f16"
    )
    link = held_against(chain.merged, wrong)
    assert link.verdict == "worse"
    assert any("output.weight" in fault for fault in link.faults)


def test_a_tied_head_that_is_not_the_embedding(chain: Chain, held_against: Hold, tmp_path: Path) -> None:
    """A tied model written with a head of its own, and a wrong one."""

    def add_head(weights: dict[str, Any]) -> None:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].flip(0).contiguous()

    copy = edited(chain.tied, tmp_path / "m", add_head, tie_word_embeddings=False)
    link = held_against(chain.tied, export_gguf(copy, tmp_path / "m.gguf", "f16"))
    assert link.verdict == "worse"
    assert any("output.weight" in fault for fault in link.faults)


def test_a_tied_head_written_out_is_no_fault(chain: Chain, held_against: Hold, tmp_path: Path) -> None:
    def add_head(weights: dict[str, Any]) -> None:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()

    copy = edited(chain.tied, tmp_path / "m", add_head, tie_word_embeddings=False)
    link = held_against(chain.tied, export_gguf(copy, tmp_path / "m.gguf", "f16"))
    assert link.faults == ()
    assert link.verdict == "equivalent"


@pytest.mark.parametrize("kind", [NORMAL, USER_DEFINED])
def test_a_wrong_type_of_a_special_token(chain: Chain, held_against: Hold, tmp_path: Path, kind: int) -> None:
    wrong = with_token_type(chain.f16, tmp_path / "m.gguf", END_OF_TURN, kind)
    link = held_against(chain.f16, wrong)
    assert link.verdict == "worse"
    assert any(f"as id 2: {TokenType(kind).name} instead of CONTROL" in fault for fault in link.faults)
    same = with_token_type(chain.f16, tmp_path / "same.gguf", END_OF_TURN, CONTROL)
    assert held_against(chain.f16, same).verdict == "equivalent"


def test_a_wrong_type_of_a_plain_token(chain: Chain, held_against: Hold, tmp_path: Path) -> None:
    wrong = with_token_type(chain.f16, tmp_path / "m.gguf", 200, CONTROL)
    link = held_against(chain.f16, wrong)
    assert link.verdict == "worse"
    assert any("as id 200" in fault for fault in link.faults)


def test_another_chat_template(chain: Chain, held_against: Hold, tmp_path: Path) -> None:
    copy = edited(chain.merged, tmp_path / "m")
    template = copy.path / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_end|>\\n", "<|im_end|>"))
    link = held_against(chain.merged, export_gguf(identify(copy.path), tmp_path / "m.gguf", "f16"))
    assert link.verdict == "worse"
    assert any("chat templates differ" in fault for fault in link.faults)
