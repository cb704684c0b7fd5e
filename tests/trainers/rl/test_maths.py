"""The pure cores against published values and closed forms: GAE, the clip, KL estimators, schedules, shaping."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the train extra")

from assay.trainers.rl.objective import (  # noqa: E402
    KlController,
    advantages,
    estimate,
    explained_variance,
    masked_mean,
    policy_loss,
    rate_factor,
    value_loss,
    whiten,
)
from assay.trainers.rl.reward import can_become_a_program, length_penalty, potential_terms, syntax_potentials  # noqa: E402

pytestmark = pytest.mark.train


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


# --- GAE: Schulman et al. 2015, arXiv 1506.02438; the vector is of the project's reference values


def test_gae_reference_vector() -> None:
    found = advantages(row(0, 0, 1), row(0.5, 0.4, 0.3), row(1, 1, 1), gamma=1.0, lam=0.95)
    assert found[0].tolist() == pytest.approx([0.43675, 0.565, 0.7], abs=1e-12)


def test_gae_lambda_0_is_the_td_error_and_lambda_1_is_monte_carlo() -> None:
    r, v, ones = row(1, -2, 3), row(0.3, 0.7, -0.2), row(1, 1, 1)
    gamma = 0.9
    td = [1 + 0.9 * 0.7 - 0.3, -2 + 0.9 * -0.2 - 0.7, 3 + 0.2]
    assert advantages(r, v, ones, gamma, 0.0)[0].tolist() == pytest.approx(td)
    returns = [1 + gamma * (-2 + gamma * 3), -2 + gamma * 3, 3]
    monte_carlo = [g - b for g, b in zip(returns, v[0].tolist(), strict=True)]
    assert advantages(r, v, ones, gamma, 1.0)[0].tolist() == pytest.approx(monte_carlo)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-3, 3), min_size=1, max_size=6),
    st.lists(st.floats(-3, 3), min_size=6, max_size=6),
    st.integers(0, 4),
    st.floats(0.1, 1),
    st.floats(0, 1),
)
def test_padding_behind_an_episode_changes_nothing(
    rewards: list[float], values: list[float], padding: int, gamma: float, lam: float
) -> None:
    n = len(rewards)
    alone = advantages(row(*rewards), row(*values[:n]), row(*[1.0] * n), gamma, lam)
    padded = advantages(
        row(*rewards, *[9.0] * padding),
        row(*values[:n], *[9.0] * padding),
        row(*[1.0] * n, *[0.0] * padding),
        gamma,
        lam,
    )
    assert padded[0, :n].tolist() == pytest.approx(alone[0].tolist(), abs=1e-12)
    assert padded[0, n:].tolist() == [0.0] * padding


def test_whitening_is_over_the_mask_alone() -> None:
    x, mask = torch.tensor([[1.0, 5.0, 100.0], [3.0, -7.0, 100.0]]), torch.tensor([[1.0, 1, 0], [1, 1, 0]])
    white = whiten(x, mask)
    assert float(masked_mean(white, mask)) == pytest.approx(0, abs=1e-6)
    assert float(masked_mean(white**2, mask)) == pytest.approx(1, abs=1e-5)
    assert white[:, 2].tolist() == [0, 0]
    assert whiten(torch.full((1, 3), 4.0), torch.ones(1, 3)).tolist() == [[0, 0, 0]]


def test_explained_variance_of_a_perfect_an_ignorant_and_a_wrong_critic() -> None:
    returns, ones = row(1, 2, 3, 6), row(1, 1, 1, 1)
    assert explained_variance(returns, returns, ones) == pytest.approx(1)
    assert explained_variance(row(3, 3, 3, 3), returns, ones) == pytest.approx(0)
    assert explained_variance(-returns, returns, ones) == pytest.approx(-3)
    assert math.isnan(explained_variance(returns, row(2, 2, 2, 2), ones))


# --- PPO's clip: Schulman et al. 2017, arXiv 1707.06347, eq. 7


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope", "clipped"),
    [
        (1.0, 2.0, -2.0, -2.0, 0.0),  # at r = 1: −A, and the policy gradient
        (1.1, 2.0, -2.2, -2.2, 0.0),  # inside
        (1.5, 2.0, -2.4, 0.0, 1.0),  # above, good: held at 1.2·A, no gradient
        (0.5, 2.0, -1.0, -1.0, 0.0),  # below, good: not held, it must come back
        (0.5, -2.0, 1.6, 0.0, 1.0),  # below, bad: held at 0.8·|A|
        (1.5, -2.0, 3.0, 3.0, 0.0),  # above, bad: not held
    ],
)
def test_both_sides_of_the_clip(
    ratio: float, advantage: float, loss: float, slope: float, clipped: float
) -> None:
    """`slope` is dLoss/dlogp = −A·r where the plain term is taken."""
    logp = row(math.log(ratio)).requires_grad_()
    found = policy_loss(logp, row(0.0), row(advantage), row(1.0), clip=0.2)
    found.loss.backward()
    assert found.loss.item() == pytest.approx(loss)
    assert logp.grad is not None
    assert logp.grad.item() == pytest.approx(slope)
    assert found.clip_fraction == clipped


def test_the_policy_gradient_at_ratio_1_is_reinforce() -> None:
    """∇ = −E[A·∇log π] (Williams 1992): on a softmax over four actions, −Σ p_i... by hand, −A·(1[a] − p)."""
    logits = torch.tensor([[0.3, -0.2, 1.0, 0.1]], dtype=torch.float64, requires_grad=True)
    action, advantage = 2, 1.7
    logp = logits.log_softmax(-1)[:, action : action + 1]
    policy_loss(logp, logp.detach(), row(advantage), row(1.0), clip=0.2).loss.backward()
    p = logits.detach().softmax(-1)[0]
    onehot = torch.zeros(4, dtype=torch.float64)
    onehot[action] = 1
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx((-advantage * (onehot - p)).tolist())


def test_the_expected_gradient_is_the_gradient_of_the_expected_reward() -> None:
    """Summed over actions with their probabilities, the score-function gradient is d/dθ Σ p(a)·R(a), exactly."""
    rewards = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    logits = torch.tensor([0.2, -0.4, 0.9], dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad((logits.softmax(-1) * rewards).sum(), logits)
    p = logits.detach().softmax(-1)
    sampled = torch.zeros(3, dtype=torch.float64)
    for a in range(3):
        logp = logits.log_softmax(-1)[a].reshape(1, 1)
        loss = policy_loss(logp, logp.detach(), rewards[a].reshape(1, 1), row(1.0), clip=0.2).loss
        (g,) = torch.autograd.grad(loss, logits)
        sampled -= p[a] * g
    assert sampled.tolist() == pytest.approx(wanted.tolist())


@pytest.mark.parametrize(
    ("value", "loss", "slope", "clipped"),
    [
        (0.1, 0.5 * 0.9**2, -0.9, 0.0),  # within ±0.2 of the old value: plain
        (0.5, 0.5 * 0.8**2, 0.0, 1.0),  # moved towards the return by more than 0.2: held, no gradient
        (-0.5, 0.5 * 1.5**2, -1.5, 0.0),  # moved away: the larger, plain error counts
    ],
)
def test_the_value_clip(value: float, loss: float, slope: float, clipped: float) -> None:
    v = row(value).requires_grad_()
    found, fraction = value_loss(v, row(0.0), row(1.0), row(1.0), clip=0.2)
    found.backward()
    assert found.item() == pytest.approx(loss)
    assert v.grad is not None
    assert v.grad.item() == pytest.approx(slope)
    assert fraction == clipped


@pytest.mark.parametrize(
    ("value", "old", "loss", "slope", "clipped"),
    [
        (2.0, 3.0, 0.5 * 2.8**2, 0.0, 1.0),  # fell by 1: clipped to 3 - 0.2, which is the larger error
        (4.0, 3.0, 0.5 * 4.0**2, 4.0, 0.0),  # rose by 1: clipped to 3.2, and the plain error is larger
        (3.1, 3.0, 0.5 * 3.1**2, 3.1, 0.0),  # within the clip: the plain error
        (-2.0, -3.0, 0.5 * 2.8**2, 0.0, 1.0),
    ],
)
def test_the_value_clip_is_around_the_old_value(
    value: float, old: float, loss: float, slope: float, clipped: float
) -> None:
    v = row(value).requires_grad_()
    found, fraction = value_loss(v, row(old), row(0.0), row(1.0), clip=0.2)
    found.backward()
    assert found.item() == pytest.approx(loss)
    assert v.grad is not None
    assert v.grad.item() == pytest.approx(slope)
    assert fraction == clipped


def test_without_a_value_clip_it_is_the_squared_error() -> None:
    found, fraction = value_loss(row(3.0), row(0.0), row(1.0), row(1.0), clip=None)
    assert (found.item(), fraction) == (2.0, 0.0)


# --- KL: Schulman 2020; Gaussians N(0,1) against N(μ,1), true value μ²/2


@pytest.mark.parametrize("mu", [0.1, 0.5, 1.0])
def test_kl_estimators_on_gaussians(mu: float) -> None:
    """π = N(0,1), ref = N(μ,1): E[k1] = E[k3] = μ²/2, E[k2] = μ²/2·(1 + μ²/4), by quadrature."""
    x = torch.linspace(-10, 10, 200_001, dtype=torch.float64)
    weight = torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    logp, ref = -(x**2) / 2, -((x - mu) ** 2) / 2
    expected = {name: float((weight * estimate(logp, ref, name)).sum()) for name in ("k1", "k2", "k3")}
    true = mu**2 / 2
    assert expected["k1"] == pytest.approx(true, rel=1e-9)
    assert expected["k3"] == pytest.approx(true, rel=1e-9)
    assert expected["k2"] == pytest.approx(true * (1 + mu**2 / 4), rel=1e-9)


def test_k3_scatters_less_than_k1_and_neither_k2_nor_k3_is_negative() -> None:
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logp, ref = -(x**2) / 2, -((x - 0.1) ** 2) / 2
    k1, k2, k3 = (estimate(logp, ref, name) for name in ("k1", "k2", "k3"))
    assert float(k3.std()) < 0.1 * float(k1.std())
    assert float(k1.min()) < 0 <= min(float(k2.min()), float(k3.min()))


def test_the_controller_moves_towards_its_target_and_no_faster_than_it_may() -> None:
    controller = KlController(0.1, target=6.0, adaptive=True, horizon=1000)
    assert controller.update(6.0, 100) == pytest.approx(0.1)
    assert controller.update(600.0, 100) == pytest.approx(0.1 * (1 + 0.2 * 100 / 1000))
    assert controller.update(0.0, 100) == pytest.approx(0.102 * (1 - 0.2 * 100 / 1000))
    assert controller.update(6.6, 100) == pytest.approx(0.102 * 0.98 * (1 + 0.1 * 100 / 1000))


def test_the_controller_holds_a_process_at_its_target() -> None:
    """A policy whose KL falls with the price it pays, kl = 1/coefficient, settles where kl = target."""
    controller = KlController(0.01, target=5.0, adaptive=True, horizon=200)
    for _ in range(400):
        controller.update(1 / controller.coefficient, 50)
    assert 1 / controller.coefficient == pytest.approx(5.0, rel=1e-3)


def test_a_fixed_coefficient_stays_and_still_raises_its_alarm() -> None:
    controller = KlController(0.1, target=3.0)
    assert controller.update(100.0, 100) == 0.1
    assert controller.alarm(6.0) is None
    assert controller.alarm(6.01) == "KL is 6.01 nats a sequence, above twice its target of 3"
    assert KlController(0.1).alarm(1e9) is None


# --- schedules


@pytest.mark.parametrize("scheduler", ["constant", "constant_with_warmup", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, 4])
def test_schedules_are_transformers_own(scheduler: str, warmup: int) -> None:
    from transformers import get_scheduler

    total = 20
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = get_scheduler(scheduler, optimizer, num_warmup_steps=warmup, num_training_steps=total)
    for step in range(total):
        assert rate_factor(scheduler, step, warmup, total) == pytest.approx(
            schedule.get_last_lr()[0], abs=1e-9
        ), step
        optimizer.step()
        schedule.step()


# --- shaping: Ng, Harada and Russell 1999


def _policies_return(
    table: dict[tuple[int, int], tuple[int, float]],
    choices: tuple[int, ...],
    start: int,
    gamma: float,
    phi: list[float] | None,
) -> float:
    """The discounted return of a deterministic policy in a four-state chain, its rewards shaped by `phi`."""
    states, rewards, state = [], [], start
    while state != 3 and len(states) < 12:
        states.append(state)
        state, reward = table[state, choices[state]]
        rewards.append(reward)
    if phi is not None:
        potentials = torch.tensor([[phi[s] for s in states]], dtype=torch.float64)
        terms = potential_terms(potentials, torch.ones_like(potentials), gamma)[0].tolist()
        rewards = [r + f for r, f in zip(rewards, terms, strict=True)]
    return sum(gamma**t * r for t, r in enumerate(rewards))


@pytest.mark.parametrize("phi", [[0.0, 5.0, -3.0, 0.0], [10.0, -10.0, 4.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
def test_shaping_leaves_every_policys_order_and_the_optimum(phi: list[float]) -> None:
    """States 0–2, terminal 3; two actions each; no cycles. Shaped return = return − Φ(start), for every policy."""
    table = {
        (0, 0): (1, 0.0), (0, 1): (2, 1.0),
        (1, 0): (3, 5.0), (1, 1): (2, 0.0),
        (2, 0): (3, 0.5), (2, 1): (3, 2.0),
    }  # fmt: skip
    gamma = 0.9
    policies = list(itertools.product((0, 1), repeat=3))
    plain = [_policies_return(table, p, 0, gamma, None) for p in policies]
    shaped = [_policies_return(table, p, 0, gamma, phi) for p in policies]
    assert shaped == pytest.approx([g - phi[0] for g in plain])
    assert plain.index(max(plain)) == shaped.index(max(shaped))


def test_a_length_penalty_is_no_potential_and_says_so_by_its_value() -> None:
    assert [length_penalty(n, 10, 0.5) for n in (0, 10, 11, 14)] == [0, 0, -0.5, -2.0]


def test_the_syntax_potential_falls_where_a_line_breaks_the_program() -> None:
    prompt = 'def f(x):\n    """Double."""\n'
    tokens = ["    y = x", " +\n", "    return y", "\n"]
    found = syntax_potentials(prompt, range(4), lambda ids: "".join(tokens[i] for i in ids))
    assert found == [1.0, 1.0, 0.0, 0.0]
    right = ["    if x:", "\n", "        return 1\n", "    return 2"]
    assert syntax_potentials(prompt, range(4), lambda ids: "".join(right[i] for i in ids)) == [1.0] * 4


@pytest.mark.parametrize(
    ("text", "possible"),
    [("def f(x):\n", True), ("def f(x):\n    return (1,\n", True), ("def f(x:\n", True), ("def f(x)\n", False),
     ("def f(x):\n    return 1 +\n", False), ("x = '''a\nb\n", True), ("\tx = 1\n  y = 2\n", False),
     ("half a lin", True)],
)  # fmt: skip
def test_what_can_become_a_program(text: str, possible: bool) -> None:
    assert can_become_a_program(text) is possible


def test_the_vectors_here_are_the_published_ones() -> None:
    """This file's literals are the project's reference values."""
    gae = json.loads((Path(__file__).parents[2] / "reference_vectors.json").read_text())["gae"]
    assert (gae["A"], gae["V"], gae["lambda"]) == ([0.43675, 0.565, 0.7], [0.5, 0.4, 0.3], 0.95)
