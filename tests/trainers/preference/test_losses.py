"""The losses that are actually used, held against published vectors.

DPO, IPO and KTO are TRL's: its trainer's own `_compute_loss` is called, on a stand-in for the model that gives back
constructed log-probabilities. Nothing of the losses is written again here.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from assay.trainers import Artifact  # noqa: E402
from assay.trainers.config import METHODS, DpoConfig  # noqa: E402
from assay.trainers.config.preference import dpo_losses  # noqa: E402
from assay.trainers.data.preferences import Preferences  # noqa: E402
from assay.trainers.methods import dpo, kto, orpo, reward_model  # noqa: E402
from assay.trainers.run.folder import seeded  # noqa: E402
from assay.trainers.run.runtime import quiet_libraries  # noqa: E402

pytestmark = pytest.mark.train
STEPS = 4  # answer tokens in the constructed batches


def config_of(method: str, **changes: Any) -> Any:
    values = {
        "method": method,
        "adapter": {"r": 4, "alpha": 8},
        "batch_size": 4,
        "max_steps": 2,
        "learning_rate": 1e-3,
        "dtype": "fp32",
        "max_length": 128,
    }
    return METHODS[method].model_validate(values | changes)


def build(method: str, base: Artifact, preferences: Preferences, out: Path, **changes: Any) -> Any:
    config = config_of(method, **changes)
    made = {"dpo": dpo, "ipo": dpo, "kto": kto, "orpo": orpo, "reward": reward_model}[method]
    with quiet_libraries(), seeded(0):
        return made.build_trainer(base, config, preferences, out)


class Speaks:
    """In place of a model: says what log-probabilities its answers have, spread evenly over the answer's tokens."""

    def __init__(self, logps: list[float]) -> None:
        self._rows = torch.tensor([[p / STEPS] * STEPS for p in logps])

    def __call__(self, **_: Any) -> Any:
        zeros = torch.zeros_like(self._rows)
        return SimpleNamespace(
            log_probs=self._rows,
            entropy=zeros,
            mean_logits=zeros,
            is_top1=zeros.bool(),
            logits=zeros[..., None],
        )


def constructed(rows: int, **more: Any) -> dict[str, Any]:
    """A batch of `rows` sequences of one prompt token and STEPS answer tokens."""
    ids = torch.ones((rows, STEPS + 1), dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[:, 0] = 0
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "completion_mask": mask, **more}


def pair_loss(trainer: Any, chosen: float, rejected: float) -> float:
    """TRL's loss where the policy's log-ratios to the reference are `chosen` and `rejected`."""
    trainer.precompute_ref_logps = True
    batch = constructed(2, ref_chosen_logps=torch.tensor([-3.0]), ref_rejected_logps=torch.tensor([-5.0]))
    return float(trainer._compute_loss(Speaks([-3.0 + chosen, -5.0 + rejected]), batch, False))


H = 1.5


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"beta": 0.1}, 0.620957047789532),
        ({"beta": 0.1, "label_smoothing": 0.1}, 0.635957047789532),  # cDPO: (1−ε)A + εB
        ({"beta": 0.1, "label_smoothing": 0.1, "smoothing": "robust"},
         (0.9 * 0.620957047789532 - 0.1 * 0.770957047789532) / 0.8),
    ],
)  # fmt: skip
def test_dpo_vectors(
    base: Artifact, preferences: Preferences, tmp_path: Path, changes: dict[str, Any], wanted: float
) -> None:
    trainer = build("dpo", base, preferences, tmp_path, **changes)
    assert pair_loss(trainer, 1.0, -0.5) == pytest.approx(wanted, abs=1e-6)
    assert pair_loss(trainer, H, 0.0) == pytest.approx(wanted, abs=1e-6)  # only their difference counts
    assert pair_loss(trainer, 0.7, 0.7) == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize(("method", "own"), [("dpo", 0.620957047789532), ("ipo", (H / STEPS - 5.0) ** 2)])
def test_sft_weight_adds_the_nll_of_the_preferred_answer(
    base: Artifact, preferences: Preferences, tmp_path: Path, method: str, own: float
) -> None:
    """RPO: the preferred answer's log-probability is −3 + 1 over STEPS tokens, so its mean NLL is 0.5."""
    trainer = build(method, base, preferences, tmp_path, beta=0.1, sft_weight=0.4)
    assert pair_loss(trainer, 1.0, -0.5) == pytest.approx(own + 0.4 * 2.0 / STEPS, abs=1e-4)
    # Both answers as much less likely as each other: the preference is content, the NLL is not.
    assert pair_loss(trainer, -1.0, -2.5) == pytest.approx(own + 0.4 * 4.0 / STEPS, abs=1e-4)


def test_ipo_vector_is_of_averaged_log_probabilities(
    base: Artifact, preferences: Preferences, tmp_path: Path
) -> None:
    """(h − 1/2β)² = 12.25 at h = 1.5, β = 0.1; TRL averages, so the summed ratios are STEPS times h."""
    trainer = build("ipo", base, preferences, tmp_path, beta=0.1)
    assert pair_loss(trainer, H * STEPS, 0.0) == pytest.approx(12.25, abs=1e-4)


def test_kto_vectors(base: Artifact, preferences: Preferences, tmp_path: Path) -> None:
    """β = 0.1, z0 = 0.2: a good answer with log-ratio 1, a bad one with −0.5; TRL's loss is their mean."""
    trainer = build("kto", base, preferences, tmp_path, beta=0.1)
    trainer.precompute_ref_logps = True
    mask = constructed(2)
    batch = constructed(
        2,
        label=torch.tensor([True, False]),
        ref_logps=torch.tensor([-3.0, -5.0]),
        ref_KL_logps=torch.tensor([-4.0, -6.0]),
        KL_input_ids=mask["input_ids"],
        KL_attention_mask=mask["attention_mask"],
        KL_completion_mask=mask["completion_mask"],
    )
    answers = iter(
        [Speaks([-3.7, -5.9]), Speaks([-2.0, -5.5])]
    )  # first the mismatched ones: z0 = mean(.3, .1) = .2
    loss = trainer._compute_loss(lambda **k: next(answers)(**k), batch, False)
    assert float(loss) == pytest.approx((0.48001065984441815 + 0.48250714233361025) / 2, abs=1e-6)


def test_bradley_terry_vector(base: Artifact, preferences: Preferences, tmp_path: Path) -> None:
    trainer = build("reward", base, preferences, tmp_path)
    scores = SimpleNamespace(logits=torch.tensor([[2.0], [0.5]]))
    batch = {"input_ids": torch.ones((2, 3)), "attention_mask": torch.ones((2, 3))}
    assert float(trainer.compute_loss(lambda **_: scores, batch)) == pytest.approx(
        0.2014132779827524, abs=1e-7
    )


def answers_with(means: list[float]) -> tuple[Any, Any]:
    """Log-probabilities and labels of answers whose tokens have the given mean; a prompt's token stands before them."""
    log_p = torch.tensor([[-9.0] + [m - 0.25, m + 0.25] * (STEPS // 2) for m in means])
    labels = torch.ones((len(means), log_p.shape[1] + 1), dtype=torch.long)
    labels[:, :2] = orpo.IGNORED
    return log_p, labels


def test_orpo_vector() -> None:
    loss, seen = orpo.orpo_loss(*answers_with([-0.5, -1.0]), beta=0.1)
    assert seen["log_odds_ratio"] == pytest.approx(0.9740769841801067, abs=1e-6)
    assert seen["odds_ratio_loss"] == pytest.approx(0.3202997852375366, abs=1e-6)
    assert loss.item() == pytest.approx(0.5320299785237537, abs=1e-6)


def test_orpo_learns_from_the_models_own_probabilities(
    base: Artifact, preferences: Preferences, tmp_path: Path
) -> None:
    """The head that makes no whole logits gives the loss and the gradient of the one that does."""
    trainer = build("orpo", base, preferences, tmp_path, beta=0.5)
    batch = next(iter(trainer.get_train_dataloader()))
    trained = [p for p in trainer.model.parameters() if p.requires_grad]
    found = trainer.compute_loss(trainer.model, batch)
    tiled = torch.autograd.grad(found, trained)
    logits = trainer.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    targets = batch["labels"][:, 1:].clamp(min=0)
    log_p = logits[:, :-1].float().log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    loss, _ = orpo.orpo_loss(log_p, batch["labels"], 0.5)
    assert found.item() == pytest.approx(loss.item(), rel=1e-5)
    for a, b in zip(tiled, torch.autograd.grad(loss, trained), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_orpo_shares_a_step_among_its_accumulated_batches(
    base: Artifact, preferences: Preferences, tmp_path: Path
) -> None:
    """Two batches of two pairs learn what one of four does: an accumulation that scaled twice, or never, would not."""
    told = []
    for name, sizes in (("once", (4, 1)), ("twice", (2, 2))):
        trainer = build(
            "orpo",
            base,
            preferences,
            tmp_path / name,
            batch_size=sizes[0],
            gradient_accumulation_steps=sizes[1],
            max_steps=2,
        )
        trainer.args.save_strategy = "no"
        with quiet_libraries():
            trainer.train()
        told.append([(row["loss"], row["grad_norm"]) for row in trainer.state.log_history if "loss" in row])
    assert len(told[0]) == 2
    for once, twice in zip(*told, strict=True):
        assert twice == pytest.approx(once, rel=1e-3)


def test_trls_experimental_orpo_has_the_same_odds_and_another_nll() -> None:
    """Why it is not used: with the prompt's tokens in it, its NLL is not the paper's."""
    with quiet_libraries():
        from trl.experimental.orpo import ORPOTrainer
    stand_in = SimpleNamespace(beta=0.1, accelerator=SimpleNamespace(device="cpu"))
    losses, *_, log_odds = ORPOTrainer.odds_ratio_loss(stand_in, torch.tensor([-0.5]), torch.tensor([-1.0]))
    assert float(log_odds) == pytest.approx(0.9740769841801067, abs=1e-6)
    assert -float(losses) == pytest.approx(0.1 * 0.3202997852375366, abs=1e-6)
    ids = torch.tensor([[3, 4, 5, 6, 7]])
    labels = torch.tensor([[-100, -100, 5, 6, 7]])  # two tokens of the prompt, three of the answer
    sides = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    batch = {f"{side}_{name}": value for side in ("chosen", "rejected") for name, value in sides.items()}
    logits = torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(0))
    stand_in = SimpleNamespace(
        is_encoder_decoder=False,
        aux_loss_enabled=False,
        padding_value=0,
        accelerator=SimpleNamespace(device="cpu"),
        concatenated_inputs=ORPOTrainer.concatenated_inputs,
        get_batch_logps=ORPOTrainer.get_batch_logps,
    )
    *_, trls_nll = ORPOTrainer.concatenated_forward(
        stand_in, lambda *_, **__: SimpleNamespace(logits=logits), batch
    )
    log_p = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:].expand(2, -1)[..., None])[..., 0]
    assert float(trls_nll) == pytest.approx(-float(log_p[0].mean()), rel=1e-5)  # over prompt and answer
    _, ours = orpo.orpo_loss(log_p, labels.expand(2, -1), beta=0.1)
    assert ours["nll"] == pytest.approx(-float(log_p[0, 1:].mean()), rel=1e-5)  # over the answer
    assert abs(ours["nll"] - float(trls_nll)) > 0.01


def test_orpos_probability_of_one_has_a_finite_gradient() -> None:
    chosen = torch.tensor([0.0], requires_grad=True)
    penalty, _ = orpo.odds_ratio_loss(chosen, torch.tensor([-1.0]))
    penalty.sum().backward()
    assert chosen.grad is not None
    assert bool(torch.isfinite(chosen.grad).all())


@pytest.mark.parametrize(("method", "wanted"), [("dpo", math.log(2)), ("ipo", 25.0), ("kto", 0.5)])
def test_the_first_step_of_a_fresh_adapter(
    base: Artifact, preferences: Preferences, tmp_path: Path, method: str, wanted: float
) -> None:
    """Policy and reference are one model: h = 0, so DPO is ln 2, IPO (1/2β)² and KTO one half."""
    trainer = build(method, base, preferences, tmp_path, beta=0.1)
    with quiet_libraries():
        batch = next(iter(trainer.get_train_dataloader()))
        loss = trainer.compute_loss(trainer.model, batch)
    assert loss.item() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("method", ["dpo", "ipo", "kto"])
@pytest.mark.parametrize("reference", ["adapter_off", "copy"])
def test_where_the_reference_comes_from(
    base: Artifact, preferences: Preferences, tmp_path: Path, method: str, reference: str
) -> None:
    """Off: no second model and no second adapter, as TRL would add. Copy: a model of the base's size. Either way a
    moved policy is compared with the base as it was."""
    from assay.trainers.methods._trl import reference_bytes

    trainer = build(method, base, preferences, tmp_path, reference=reference)
    assert list(trainer.model.peft_config) == ["default"]
    n = sum(p.numel() for name, p in trainer.model.named_parameters() if "lora_" not in name)
    assert reference_bytes(trainer) == (0 if reference == "adapter_off" else 4 * n)
    with quiet_libraries():
        batch = next(iter(trainer.get_train_dataloader()))
        before = trainer.compute_ref_log_probs(
            trainer.model if reference == "adapter_off" else trainer.ref_model, batch
        )[0]
        for name, p in trainer.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(p, std=0.3)
        after = trainer.compute_ref_log_probs(
            trainer.model if reference == "adapter_off" else trainer.ref_model, batch
        )[0]
        moved = trainer.compute_loss(trainer.model, batch).item()
    assert torch.equal(before, after)
    assert moved != pytest.approx({"dpo": math.log(2), "ipo": 25.0, "kto": 0.5}[method], abs=1e-3)


def test_orpo_loads_no_reference(
    base: Artifact, preferences: Preferences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base is read once, and neither a second model nor a second adapter is anywhere in the trainer."""
    import transformers

    loads: list[str] = []
    load = transformers.AutoModelForCausalLM.from_pretrained

    def counted(folder: str, **kwargs: Any) -> Any:
        loads.append(folder)
        return load(folder, **kwargs)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", counted)
    trainer = build("orpo", base, preferences, tmp_path)
    assert loads == [str(base.path)]
    assert list(trainer.model.peft_config) == ["default"]
    models = [v for v in vars(trainer).values() if isinstance(v, torch.nn.Module)]
    assert {id(trainer.accelerator.unwrap_model(m)) for m in models} == {id(trainer.model)}
    assert "reference" not in config_of("orpo").model_dump()


def test_orpo_learns_from_the_answer_alone(base: Artifact, preferences: Preferences, tmp_path: Path) -> None:
    trainer = build("orpo", base, preferences, tmp_path)
    row = trainer.train_dataset[0]
    tokenizer = trainer.processing_class
    learned = tokenizer.decode([t for t in row["chosen_labels"] if t != orpo.IGNORED])
    assert learned == f"{preferences.pairs()[0].chosen}<|im_end|>\n"


def test_label_smoothing_is_a_sum_of_losses_that_trl_has() -> None:
    table = DpoConfig(method="dpo", label_smoothing=0.2)
    assert dpo_losses(table) == (["sigmoid", "robust"], [1.6, -0.6])


def test_the_vectors_here_are_the_published_ones() -> None:
    v = json.loads((Path(__file__).parents[2] / "reference_vectors.json").read_text())
    assert (v["dpo"]["sigmoid"], v["dpo"]["cdpo_ls0.1"], v["dpo"]["ipo"]) == (
        0.620957047789532,
        0.635957047789532,
        12.25,
    )
    assert v["kto"]["desirable_logratio_1.0"] == 0.48001065984441815
    assert v["orpo"]["nll0.5_lambda0.1_total"] == 0.5320299785237537
    assert v["bt"]["loss"] == 0.2014132779827524
