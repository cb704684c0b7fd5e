"""Full fine-tuning: every parameter in one group, with the rate and the decay that its place calls for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.trainers import Artifact, ArtifactKind, Records, SftConfig, TrainingError, identify
from assay.trainers.methods.sft import build_trainer, train_sft
from assay.trainers.model.optimizers import parameter_groups
from assay.trainers.run.facts import load_facts
from assay.trainers.run.folder import LOG
from assay.trainers.run.log import read_steps

pytestmark = pytest.mark.train
Make = Callable[..., SftConfig]
FULL = {"adapter": {"type": "none"}, "learning_rate": 1e-3, "weight_decay": 0.1}


def load(base: Artifact) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(base.path), dtype=torch.float32)


def rates(model: Any, config: SftConfig) -> dict[str, float]:
    return {name: g.learning_rate for g in parameter_groups(model, config) for name in g.names}


@pytest.mark.parametrize("fields", [{}, {"layerwise": {"decay": 0.5}}, {"groups": {"head": 1e-2}}])
def test_no_parameter_is_lost_or_doubled(
    tiny: Artifact, tied: Artifact, small_config: Make, fields: dict[str, Any]
) -> None:
    config = small_config(**FULL, **fields)
    for base in (tiny, tied):
        model = load(base)
        model.model.layers[0].mlp.up_proj.weight.requires_grad = False
        names = [name for g in parameter_groups(model, config) for name in g.names]
        assert sorted(names) == sorted(n for n, p in model.named_parameters() if p.requires_grad)
        assert len({id(dict(model.named_parameters())[n]) for n in names}) == len(names)
        assert "model.layers.0.mlp.up_proj.weight" not in names


def test_rates_fall_from_the_head_to_the_embedding(tiny: Artifact, small_config: Make) -> None:
    """learning_rate·decay^(places below the top): 2 layers, so the embedding lies 3 below."""
    found = rates(load(tiny), small_config(**FULL, layerwise={"decay": 0.5}))
    assert found["lm_head.weight"] == found["model.norm.weight"] == 1e-3
    assert found["model.layers.1.mlp.up_proj.weight"] == pytest.approx(5e-4)
    assert found["model.layers.0.self_attn.q_proj.bias"] == pytest.approx(2.5e-4)
    assert found["model.embed_tokens.weight"] == pytest.approx(1.25e-4)
    assert min(found.values()) == found["model.embed_tokens.weight"]


def test_the_layers_of_gpt2_are_layers_too(small_config: Make) -> None:
    """Its blocks are `transformer.h.N`, its norms `ln_1` and `ln_f`, and it learns an embedding of positions."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_positions=8, n_embd=4, n_layer=2, n_head=1))
    config = small_config(**FULL, layerwise={"decay": 0.5})
    found = rates(model, config)
    assert found["transformer.ln_f.weight"] == 1e-3
    assert found["transformer.h.1.mlp.c_fc.weight"] == pytest.approx(5e-4)
    assert found["transformer.h.0.ln_1.weight"] == pytest.approx(2.5e-4)
    assert found["transformer.wte.weight"] == found["transformer.wpe.weight"] == pytest.approx(1.25e-4)
    undecayed = [n for g in parameter_groups(model, config) if g.weight_decay == 0 for n in g.names]
    assert sorted(undecayed) == sorted(n for n in found if ".ln_" in n or n.endswith("bias"))


@pytest.mark.parametrize("fields", [{"layerwise": {"decay": 0.5}}, {"groups": {"head": 1e-2}}])
def test_rates_by_layer_need_layers(small_config: Make, fields: dict[str, Any]) -> None:
    import torch

    class Flat(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(3, 2)

        def get_input_embeddings(self) -> Any:
            return self.words

    with pytest.raises(
        TrainingError, match=f"{next(iter(fields))}.* sets rates by layer, and no parameter of Flat"
    ):
        parameter_groups(Flat(), small_config(**FULL, **fields))
    assert len(parameter_groups(Flat(), small_config(**FULL))) == 1


def test_the_logged_rate_is_the_highest(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    config = small_config(**FULL, layerwise={"decay": 0.5}, scheduler="linear", max_steps=2)
    made = train_sft(tiny, config, chats, tmp_path / "out")
    assert [s.learning_rate for s in read_steps(made.path / LOG)] == pytest.approx([1e-3, 5e-4])


def test_tied_weights_are_one_parameter_with_the_embeddings_rate(tied: Artifact, small_config: Make) -> None:
    found = rates(load(tied), small_config(**FULL, layerwise={"decay": 0.5}))
    assert "lm_head.weight" not in found
    assert found["model.embed_tokens.weight"] == pytest.approx(1.25e-4)


def test_parts_have_the_rates_they_were_given(tiny: Artifact, small_config: Make) -> None:
    found = rates(load(tiny), small_config(**FULL, groups={"backbone": 1e-5, "head": 1e-4}))
    assert found["lm_head.weight"] == found["model.norm.weight"] == 1e-4
    assert {r for n, r in found.items() if ".layers." in n} == {1e-5}
    assert found["model.embed_tokens.weight"] == 1e-3, "a part without a rate has learning_rate"


def test_biases_and_norms_are_not_decayed(tiny: Artifact, small_config: Make) -> None:
    groups = parameter_groups(load(tiny), small_config(**FULL, layerwise={"decay": 0.5}))
    decay = {name: g.weight_decay for g in groups for name in g.names}
    assert all((d == 0) == ("norm" in n or n.endswith("bias")) for n, d in decay.items())
    assert set(decay.values()) == {0.0, 0.1}


@settings(max_examples=40, deadline=None)
@given(
    layers=st.integers(1, 9),
    decay=st.floats(0.05, 1.0),
    head=st.booleans(),
    frozen=st.sets(st.integers(0, 8)),
)
def test_depth_alone_decides_the_rate(layers: int, decay: float, head: bool, frozen: set[int]) -> None:
    import torch

    class Model(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = torch.nn.Module()
            self.model.embed_tokens = torch.nn.Embedding(3, 2)
            self.model.layers = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(layers))
            if head:
                self.lm_head = torch.nn.Linear(2, 3, bias=False)

        def get_input_embeddings(self) -> Any:
            return self.model.embed_tokens

    model = Model()
    for i in frozen:
        if i < layers - 1:
            model.model.layers[i].requires_grad_(False)
    config = SftConfig.model_validate({"method": "sft"} | FULL | {"layerwise": {"decay": decay}})
    found = rates(model, config)
    top = layers + 1
    for name, rate in found.items():
        depth = 0 if "embed" in name else int(name.split(".")[2]) + 1 if ".layers." in name else top
        assert rate == pytest.approx(1e-3 * decay ** (top - depth))


def test_the_rates_reach_the_optimiser_and_follow_the_schedule(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    config = small_config(**FULL, layerwise={"decay": 0.5}, scheduler="linear", max_steps=2)
    trainer = build_trainer(tiny, config, chats, tmp_path)
    begun = sorted({g["lr"] for g in trainer.optimizer.param_groups})
    assert begun == pytest.approx([1.25e-4, 2.5e-4, 5e-4, 1e-3])
    trainer.train()
    initial = sorted({g["initial_lr"] for g in trainer.optimizer.param_groups})
    assert initial == pytest.approx(begun)
    assert all(g["lr"] == pytest.approx(0) for g in trainer.optimizer.param_groups), "2 of 2 linear steps"


@pytest.mark.slow
def test_every_parameter_moves_and_one_batch_is_learnt_by_heart(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    """What is saved is a whole model that loads without us; the loss of one repeated batch falls below 0.1."""
    from dataclasses import replace

    four = replace(chats, kept=chats.kept[:4])
    config = small_config(**FULL | {"weight_decay": 0.0}, epochs=60, scheduler="constant", save_steps=1000)
    made = train_sft(tiny, config, four, tmp_path / "out")
    assert made.kind is ArtifactKind.TUNED
    assert identify(made.path) == made
    assert read_steps(made.path / LOG)[-1].loss < 0.1
    before, after = dict(load(tiny).named_parameters()), dict(load(made).named_parameters())
    assert all(not after[name].equal(p) for name, p in before.items())
    facts = load_facts(made.path)
    assert facts is not None
    assert facts.trainable_parameters == facts.total_parameters == sum(p.numel() for p in before.values())


@pytest.mark.slow
def test_a_killed_run_goes_on(tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path) -> None:
    config = small_config(**FULL, layerwise={"decay": 0.8}, save_steps=2)
    whole = train_sft(tiny, config, chats, tmp_path / "whole")

    class KilledError(Exception):
        pass

    def kill(step: Any) -> None:
        if step.step == 5:
            raise KilledError

    with pytest.raises(KilledError):
        train_sft(tiny, config, chats, tmp_path / "out", kill)
    resumed = train_sft(tiny, config, chats, tmp_path / "out")
    assert [s.loss for s in read_steps(resumed.path / LOG)] == [s.loss for s in read_steps(whole.path / LOG)]
    assert resumed.sha256 == whole.sha256
    facts = load_facts(resumed.path)
    assert facts is not None
    assert facts.resumed
    assert facts.train_s is None
    assert "resumed" in facts.unmeasured["train_s"]


def test_a_tuned_model_can_be_trained_on(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    tuned = train_sft(tiny, small_config(**FULL, max_steps=1), chats, tmp_path / "tuned")
    adapter = train_sft(tuned, small_config(max_steps=1), chats, tmp_path / "adapter")
    assert adapter.parent is not None
    assert adapter.parent.sha256 == tuned.sha256


def test_with_everything_frozen_there_is_nothing_to_train(tiny: Artifact, small_config: Make) -> None:
    model = load(tiny)
    model.requires_grad_(False)
    with pytest.raises(TrainingError, match="every parameter of this model is frozen"):
        parameter_groups(model, small_config(**FULL))
