"""PPO end to end on toys: it finds the best arm, teaches a tiny language model, and goes on after `kill -9`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from assay.sandbox import Outcome, Program  # noqa: E402
from assay.trainers import Artifact, TrainingError, identify  # noqa: E402
from assay.trainers.methods.ppo import Ppo, build_ppo  # noqa: E402
from assay.trainers.rl.log import RL_LOG, ROLLOUTS, RlStep, read_rl_steps  # noqa: E402
from assay.trainers.rl.objective import advantages, policy_loss  # noqa: E402
from assay.trainers.rl.policy import (  # noqa: E402
    Episode,
    load_value_head,
    make_batch,
    make_policy,
    save_value_head,
)
from assay.trainers.run.folder import seeded  # noqa: E402
from assay.trainers.run.runtime import quiet_libraries  # noqa: E402

pytestmark = pytest.mark.train
ROOT = Path(__file__).parents[3]


def build(world: ModuleType, base: Artifact, out: Path, **changes: Any) -> Ppo:
    config = world.ppo_config(**changes)
    out.mkdir(exist_ok=True)
    with quiet_libraries(), seeded(config.seed):
        ppo, _, _ = build_ppo(base, config, world.environment(), out)
    return ppo


def run(ppo: Ppo, world: ModuleType, outcome_of: Callable[[Program], Outcome]) -> list[RlStep]:
    steps: list[RlStep] = []
    ppo.run(world.FakeSandbox(outcome_of), steps.append)
    return steps


def passing(*, when: Callable[[Program], bool]) -> Callable[[Program], Outcome]:
    return lambda program: Outcome.PASS if when(program) else Outcome.FAIL


def answers(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / ROLLOUTS).read_text().splitlines()]


def test_a_bandit_learns_its_best_arm() -> None:
    """Five arms that pay 1 with probability .1 to .9: the clipped objective over one-step episodes, nothing else."""
    pays = torch.tensor([0.1, 0.3, 0.9, 0.5, 0.7])
    draws = torch.Generator().manual_seed(0)
    logits = torch.zeros(5, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(120):
        arms = torch.multinomial(logits.detach().softmax(-1), 64, replacement=True, generator=draws)
        rewards = torch.bernoulli(pays[arms], generator=draws)[:, None]
        ones = torch.ones_like(rewards)
        gained = advantages(rewards, torch.full_like(rewards, float(rewards.mean())), ones, 1.0, 0.95)
        old = logits.detach().log_softmax(-1)[arms][:, None]
        for _ in range(2):
            loss = policy_loss(logits.log_softmax(-1)[arms][:, None], old, gained, ones, clip=0.2).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert logits.argmax().item() == 2
    assert logits.softmax(-1)[2].item() > 0.95


@pytest.mark.slow
def test_a_tiny_language_model_learns_a_checkable_reward(
    world: ModuleType, base: Artifact, tmp_path: Path
) -> None:
    """The reward is 1 when the answer contains an `e`: from about one answer in five to over 95 %."""
    ppo = build(
        world,
        base,
        tmp_path,
        max_steps=40,
        learning_rate=1e-2,
        scheduler="linear",
        kl={"coefficient": 0.0},
        reward={"fraction": 0.0},
        rollout={"prompts": 16, "samples": 4, "max_new_tokens": 6, "style": "completion"},
    )
    steps = run(ppo, world, passing(when=lambda p: "e" in world.answer_of(p)))
    first, last = steps[0].pass_rate, sum(s.pass_rate for s in steps[-5:]) / 5
    assert 0.1 < first < 0.3
    assert last > 0.95
    assert steps[0].kl == pytest.approx(0, abs=1e-5)  # a fresh adapter is its own reference
    assert steps[-1].kl > 1
    assert read_rl_steps(tmp_path / RL_LOG) == steps


@pytest.mark.slow
def test_a_reward_that_can_be_hacked_opens_a_gap_and_an_honest_one_does_not(
    world: ModuleType, base: Artifact, tmp_path: Path
) -> None:
    """Paid for an `e`, where the checks held out ask for an `e` and an `x`: what pays is learned, and the log shows
    that it is not worth what it says. Where both halves ask for the same, both rates rise together."""

    def run_with(name: str, held: Callable[[str], bool]) -> list[RlStep]:
        ppo = build(
            world,
            base,
            tmp_path / name,
            max_steps=10,
            learning_rate=1e-2,
            kl={"coefficient": 0.0},
            reward={"fraction": 0.0, "checks": "half"},
            rollout={"prompts": 16, "samples": 4, "max_new_tokens": 6, "style": "completion"},
        )
        asks = {"paid": lambda text: "e" in text, "held": held}
        return run(ppo, world, passing(when=lambda p: asks[p.id.partition("/")[0]](world.answer_of(p))))

    weak = run_with("weak", lambda text: "e" in text and "x" in text)
    honest = run_with("honest", lambda text: "e" in text)
    gaps = [[s.gap for s in steps if s.gap is not None] for steps in (weak, honest)]
    assert [len(g) for g in gaps] == [10, 10]
    assert sum(gaps[0][-3:]) / 3 > sum(gaps[0][:3]) / 3 + 0.15
    assert gaps[1] == [0.0] * 10
    assert weak[-1].pass_rate > weak[0].pass_rate + 0.15
    assert honest[-1].held_pass_rate == honest[-1].pass_rate


@pytest.mark.slow
def test_the_kl_penalty_holds_the_policy_back(world: ModuleType, base: Artifact, tmp_path: Path) -> None:
    reward = passing(when=lambda p: "e" in world.answer_of(p))
    ends = {}
    for name, coefficient in (("free", 0.0), ("held", 1.0)):
        ppo = build(
            world, base, tmp_path / name, max_steps=8, learning_rate=1e-2, kl={"coefficient": coefficient}
        )
        kl = run(ppo, world, reward)[-1].kl
        assert kl is not None
        ends[name] = kl
    assert ends["held"] < ends["free"] / 2


def test_what_is_logged_each_step_adds_up(world: ModuleType, base: Artifact, tmp_path: Path) -> None:
    ppo = build(world, base, tmp_path, max_steps=2, reward={"passed": 1.0, "fraction": 0.5, "length": 0.1})
    steps = run(ppo, world, passing(when=lambda p: "e" in world.answer_of(p)))
    rows = [json.loads(line) for line in (tmp_path / ROLLOUTS).read_text().splitlines()]
    for step in steps:
        mine = [r for r in rows if r["step"] == step.step]
        assert len(mine) == step.answers == 32
        assert step.reward == pytest.approx(sum(r["reward"] for r in mine) / 32)
        assert step.pass_rate == sum(r["outcome"] == "pass" for r in mine) / 32
        assert step.length == sum(r["n_tokens"] for r in mine) / 32
        for r in mine:
            c = r["components"]
            assert r["reward"] == pytest.approx(c["passed"] + 0.5 * c["fraction"] + 0.1 * c["length"])
            assert c["length"] == -r["n_tokens"]
        assert sum(step.outcomes.values()) == 32
        assert min(step.generate_s, step.execute_s, step.train_s) > 0


def test_what_an_unfinished_answer_costs_stands_in_the_log(
    world: ModuleType, base: Artifact, tmp_path: Path
) -> None:
    ppo = build(world, base, tmp_path, max_steps=1, unfinished=0.5)
    (step,) = run(ppo, world, passing(when=lambda p: "e" in world.answer_of(p)))
    rows = answers(tmp_path)
    assert not all(r["ended"] for r in rows)
    for r in rows:
        assert r["components"]["unfinished"] == (0.0 if r["ended"] else -1.0)
        assert r["reward"] == pytest.approx(1.2 * (r["outcome"] == "pass") - 0.5 * (not r["ended"]))
    assert step.components["unfinished"] == -step.unfinished
    assert step.reward == pytest.approx(sum(r["reward"] for r in rows) / 32)


def test_gradient_checkpointing_recomputes_and_changes_no_figure(
    world: ModuleType, base: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import modeling_utils

    calls: list[int] = []
    real = modeling_utils.checkpoint

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return real(*args, **options)

    monkeypatch.setattr(modeling_utils, "checkpoint", counted)
    steps, counts = [], []
    for on in (False, True):
        ppo = build(world, base, tmp_path / str(on), max_steps=2, gradient_checkpointing=on)
        steps.append(run(ppo, world, passing(when=lambda p: "e" in world.answer_of(p))))
        counts.append(len(calls))
    assert counts[0] == 0
    assert counts[1] > 0
    for plain, recomputed in zip(*steps, strict=True):
        assert recomputed.policy_loss == pytest.approx(plain.policy_loss, abs=1e-6)
        assert recomputed.grad_norm == pytest.approx(plain.grad_norm, rel=1e-4)
        assert recomputed.kl == pytest.approx(plain.kl, abs=1e-5)


def test_infra_is_left_out_of_the_batch_and_of_every_mean(
    world: ModuleType, base: Artifact, tmp_path: Path
) -> None:
    """Answers with an `e` cannot be judged; the others all fail."""

    def outcome(program: Program) -> Outcome:
        return Outcome.INFRA if "e" in world.answer_of(program) else Outcome.FAIL

    ppo = build(world, base, tmp_path, max_steps=2, learning_rate=1e-2)
    steps = run(ppo, world, outcome)
    assert all(s.infra > 0 and s.infra + s.answers == 32 for s in steps)
    assert all(s.reward == 0 and s.pass_rate == 0 for s in steps)
    rows = [json.loads(line) for line in (tmp_path / ROLLOUTS).read_text().splitlines()]
    unmeasured = [r for r in rows if r["outcome"] == "infra"]
    assert {(r["reward"], r["components"]) for r in unmeasured} == {(None, None)}
    lengths = [r["n_tokens"] for r in rows if r["step"] == 1 and r["outcome"] != "infra"]
    assert steps[0].length == sum(lengths) / len(lengths)


def test_a_batch_without_one_measured_answer_stops_the_run(
    world: ModuleType, base: Artifact, tmp_path: Path
) -> None:
    ppo = build(world, base, tmp_path)
    with pytest.raises(TrainingError, match=r"none of 32 answers could be measured \(infra\)"):
        run(ppo, world, lambda _: Outcome.INFRA)


def test_an_update_that_fails_leaves_no_thread_behind(
    world: ModuleType, base: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers are in the sandbox by then, and the thread that fed them waits for more."""
    ppo = build(world, base, tmp_path, max_steps=1)

    def out_of_memory(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(ppo.policy, "see_all", out_of_memory)
    before = set(threading.enumerate())
    with pytest.raises(MemoryError):
        run(ppo, world, lambda _: Outcome.PASS)
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=30)
        assert not thread.is_alive(), thread.name


@pytest.mark.parametrize("on_alarm", ["flag", "stop"])
def test_kl_above_twice_its_target_raises_the_alarm(
    world: ModuleType, base: Artifact, tmp_path: Path, on_alarm: str
) -> None:
    kl = {"coefficient": 0.0, "target": 1e-3, "on_alarm": on_alarm}
    ppo = build(world, base, tmp_path, max_steps=3, learning_rate=1e-2, kl=kl)
    reward = passing(when=lambda p: "e" in world.answer_of(p))
    if on_alarm == "stop":
        with pytest.raises(
            TrainingError, match=r"stopped at step 2: KL is .* above twice its target of 0\.001"
        ):
            run(ppo, world, reward)
        assert read_rl_steps(tmp_path / RL_LOG)[-1].alarm is not None
    else:
        assert [s.alarm is None for s in run(ppo, world, reward)] == [True, False, False]


def test_the_gap_between_paid_and_held_out_checks_is_logged(
    world: ModuleType, base: Artifact, tmp_path: Path
) -> None:
    """A hack passes what pays and not what is held out: the box passes half of what it is shown."""
    ppo = build(world, base, tmp_path, max_steps=1, reward={"checks": "half"})
    box = world.FakeSandbox(lambda p: Outcome.PASS if p.id.startswith("paid/") else Outcome.FAIL)
    steps: list[RlStep] = []
    ppo.run(box, steps.append)
    assert (steps[0].pass_rate, steps[0].held_pass_rate, steps[0].gap) == (1.0, 0.0, 1.0)
    paid = {p.checks for p in box.programs if p.id.startswith("paid/")}
    held = {p.checks for p in box.programs if p.id.startswith("held/")}
    assert all(len(c) == 1 for c in paid | held)
    assert not paid & held


def test_a_forward_pass_says_of_actions_what_the_models_logits_say(world: ModuleType, base: Artifact) -> None:
    """Right padding, per-row offsets and temperature against one row at a time, straight from the logits."""
    with quiet_libraries():
        policy = make_policy(base, world.ppo_config(rollout={"temperature": 0.7}))
    episodes = [
        Episode([5, 6, 7], [20, 21, 22, 23]),
        Episode([9, 8, 7, 6, 5, 4], [30]),
        Episode([40], [41, 42]),
    ]
    seen, ref = policy.see_all(make_batch(episodes, pad_id=0), rows_at_once=2)
    model = policy.causal
    for i, (prompt, taken) in enumerate(episodes):
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *taken]])).logits[0] / 0.7
        log_p = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        wanted = [log_p[t, a].item() for t, a in enumerate(taken)]
        assert seen.logp[i, : len(taken)].tolist() == pytest.approx(wanted, abs=1e-4)
        assert ref[i, : len(taken)].tolist() == pytest.approx(wanted, abs=1e-4)
        entropy = -(log_p.exp() * log_p).sum(-1)
        assert seen.entropy[i, : len(taken)].tolist() == pytest.approx(entropy.tolist(), abs=1e-3)
        assert seen.logp[i, len(taken) :].abs().sum().item() == 0


@pytest.mark.parametrize("reaches", [True, False])
def test_the_value_gradient_reaches_the_backbone_as_told(
    world: ModuleType, base: Artifact, reaches: bool
) -> None:
    with quiet_libraries():
        policy = make_policy(base, world.ppo_config(value_reaches_backbone=reaches))
    torch.nn.init.ones_(policy.value_head.weight)
    policy.see(make_batch([Episode([5, 6], [7, 8])], 0)).value.sum().backward()
    moved = [p for p in policy.trainable() if p.grad is not None and p.grad.abs().sum().item() > 0]
    assert bool(moved) is reaches
    assert policy.value_head.weight.grad is not None


def test_the_value_head_comes_back_equal(world: ModuleType, base: Artifact, tmp_path: Path) -> None:
    with quiet_libraries():
        one, other = (make_policy(base, world.ppo_config()) for _ in range(2))
    torch.nn.init.normal_(one.value_head.weight)
    torch.nn.init.normal_(one.value_head.bias)
    save_value_head(one, tmp_path)
    load_value_head(other, tmp_path)
    batch = make_batch([Episode([5, 6], [7, 8, 9])], 0)
    assert torch.equal(one.see(batch).value, other.see(batch).value)
    with pytest.raises(TrainingError, match="holds no value head"):
        load_value_head(one, tmp_path / "elsewhere")


@pytest.mark.parametrize("reference", ["adapter_off", "copy"])
def test_the_reference_stays_the_base_while_the_policy_moves(
    world: ModuleType, base: Artifact, tmp_path: Path, reference: str
) -> None:
    ppo = build(world, base, tmp_path, max_steps=3, learning_rate=1e-2, reference=reference)
    batch = make_batch([Episode([5, 6, 7], [20, 21]), Episode([9, 8], [30, 31, 32])], 0)
    before, ref_before = ppo.policy.see_all(batch, 2)
    run(ppo, world, passing(when=lambda p: "e" in world.answer_of(p)))
    after, ref_after = ppo.policy.see_all(batch, 2)
    assert torch.equal(ref_before, ref_after)
    assert torch.allclose(before.logp, ref_before, atol=1e-6)
    assert not torch.allclose(after.logp, ref_after, atol=1e-2)
    size = sum(p.numel() * 4 for n, p in ppo.policy.causal.named_parameters() if "lora_" not in n)
    assert ppo.policy.reference_bytes() == (0 if reference == "adapter_off" else size)


KILLED = """
import os, signal, sys
sys.path[:0] = [{root!r}, {here!r}]
import world
from pathlib import Path
from assay.trainers import identify
from assay.trainers.run.folder import seeded
from assay.trainers.run.runtime import quiet_libraries
from assay.trainers.methods.ppo import build_ppo
from assay.sandbox import Outcome
import torch; torch.set_num_threads(1)
config = world.ppo_config(**{changes!r})
with quiet_libraries(), seeded(0):
    ppo, _, _ = build_ppo(identify(Path({base!r})), config, world.environment(), Path({out!r}))
box = world.FakeSandbox(lambda p: Outcome.PASS if "e" in world.answer_of(p) else Outcome.FAIL)
ppo.run(box, lambda s: os.kill(os.getpid(), signal.SIGKILL) if s.step == 5 else None)
"""


@pytest.mark.slow
def test_after_kill_9_it_comes_to_the_same_curve(world: ModuleType, base: Artifact, tmp_path: Path) -> None:
    """Killed behind step 5 with checkpoints at 2 and 4: steps 5 to 8 are done again, to the same figures."""
    changes = {
        "max_steps": 8,
        "save_steps": 2,
        "save_total_limit": 1,
        "learning_rate": 1e-2,
        "kl": {"coefficient": 0.1, "target": 2.0, "adaptive": True, "horizon": 100},
    }
    reward = passing(when=lambda p: "e" in world.answer_of(p))
    whole = run(build(world, base, tmp_path / "whole", **changes), world, reward)
    out = tmp_path / "killed"
    out.mkdir()
    code = KILLED.format(
        root=str(ROOT),
        here=str(Path(__file__).parent),
        changes=changes,
        base=str(base.path),
        out=str(out),
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [p.name for p in (out / "checkpoints").glob("checkpoint-*")] == ["checkpoint-4"]
    assert [s.step for s in read_rl_steps(out / RL_LOG)] == [1, 2, 3, 4, 5]
    assert identify(base.path) == base
    rest = run(build(world, base, out, **changes), world, reward)
    assert [s.step for s in rest] == [5, 6, 7, 8]
    figures = (
        "reward",
        "kl",
        "kl_coefficient",
        "policy_loss",
        "value_loss",
        "entropy",
        "length",
        "grad_norm",
        "tokens",
    )
    for a, b in zip(whole, read_rl_steps(out / RL_LOG), strict=True):
        assert {f: getattr(a, f) for f in figures} == {f: getattr(b, f) for f in figures}
    whole_rows, killed_rows = (answers(tmp_path / name) for name in ("whole", "killed"))
    assert whole_rows == killed_rows
