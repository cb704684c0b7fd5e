"""A made-up run, seeded: its figures are computed from its samples, so that page, tables and data agree."""

from __future__ import annotations

from itertools import combinations
from math import erfc, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from assay.suites import Problem

FAMILIES = ("arithmetic", "composition", "conditionals", "dictionaries", "lists", "loops", "strings")
BASE_CHANCE = (0.62, 0.12, 0.44, 0.3, 0.41, 0.28, 0.36)
VARIANTS = ("base", "adapter", "merged", "gguf-f16", "gguf-q8_0")
BODIES = (
    "    total = 0\n    for value in xs:\n        total += value * {a}\n    return total\n",
    "    return sum(value * {a} for value in xs)\n",
    "    result = []\n    for value in xs:\n        if value % {a} == 0:\n            result.append(value)\n"
    "    return len(result)\n",
    "    # keep the largest\n    return max(xs) - {a} if xs else 0\n",
    "    return '{a}' + str(xs)\n",
)


def make_problems(count: int = 400) -> dict[str, Problem]:
    """Problems in a test split's shape; none of them is meant to be solved."""
    problems = {}
    for i in range(count):
        family = FAMILIES[i % len(FAMILIES)]
        a = i % 9 + 2
        prompt = f'def {family}_{i}(xs):\n    """Return the sum of all values of xs, each times {a}."""\n'
        problems[f"pocket/test/{i:04d}"] = Problem(
            id=f"pocket/test/{i:04d}",
            prompt=prompt,
            entry_point=f"{family}_{i}",
            checks=(f"assert {family}_{i}([1, 2]) == {3 * a}", f"assert {family}_{i}([]) == 0"),
            canonical_solution=f"    return sum(x * {a} for x in xs)\n",
            instruction=f"Write `{family}_{i}(xs)` that returns the sum of all values of xs, each times {a}.",
            family=family,
        )
    return problems


def make_samples(problems: dict[str, Problem], n: int = 4, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Samples of five variants: the adapter lifts every family, what is made from it follows it closely."""
    rng = np.random.default_rng(seed)
    ease = rng.normal(0, 0.22, len(problems))
    frames = {}
    lifted = None
    for variant in VARIANTS:
        chance = np.array([BASE_CHANCE[FAMILIES.index(p.family)] for p in problems.values()]) + ease
        if variant != "base":
            chance = chance + 0.13
        draws = rng.random((len(problems), n))
        if variant == "adapter":
            lifted = draws
        elif variant != "base" and lifted is not None:
            keep = rng.random(draws.shape) < {"merged": 0.99, "gguf-f16": 0.97, "gguf-q8_0": 0.9}[variant]
            draws = np.where(keep, lifted, draws)
        rows = [
            _sample(problem, index, bool(draws[i, index] < chance[i]), rng)
            for i, problem in enumerate(problems.values())
            for index in range(n)
        ]
        frames[variant] = pd.DataFrame(rows)
    return frames


def _sample(problem: Problem, index: int, passed: bool, rng: np.random.Generator) -> dict[str, Any]:
    a = int(problem.instruction.rsplit(" ", 1)[1].rstrip("."))
    body = BODIES[int(rng.integers(0, 2)) if passed else int(rng.integers(2, 5))].format(a=a)
    outcome = "pass" if passed else str(rng.choice(["fail", "error", "timeout"], p=[0.78, 0.19, 0.03]))
    call = f"{problem.entry_point}([1, 2])"
    detail = {
        "pass": "",
        "fail": f"check 1: AssertionError: {call} gave {int(rng.integers(0, 30))}, expected {3 * a}",
        "error": 'check 1: TypeError: can only concatenate str (not "list") to str',
        "timeout": "CPU time: 5.0 s used of 5.0 s",
    }[outcome]
    return {
        "problem_id": problem.id,
        "index": index,
        "seed": 392752651021014401 + index,
        "prompt": f"<|im_start|>user\n{problem.instruction}<|im_end|>\n<|im_start|>assistant\n",
        "completion": f"```python\n{problem.prompt}{body}```",
        "n_tokens": 24 + len(body) // 4,
        "finish_reason": "stop",
        "program": problem.prompt + body,
        "rule": "fenced block",
        "outcome": outcome,
        "detail": detail,
        "output": ""
        if outcome != "error"
        else 'Traceback (most recent call last):\n  File "program.py", line 4\n',
        "checks_passed": 2 if passed else int(rng.integers(0, 2)),
        "checks_total": 2,
        "cpu_s": 5.0 if outcome == "timeout" else round(float(rng.exponential(0.002)), 6),
        "wall_s": 5.2 if outcome == "timeout" else round(float(rng.exponential(0.004)), 6),
        "peak_bytes": int(rng.integers(9_000_000, 12_000_000)),
        "mode": "shared",
    }


def _estimate(values: npt.NDArray[np.float64]) -> dict[str, Any]:
    half = 1.96 * float(values.std(ddof=1)) / sqrt(len(values))
    mean = float(values.mean())
    return {
        "value": mean,
        "low": max(0.0, mean - half),
        "high": min(1.0, mean + half),
        "n": len(values),
        "method": "normal approximation over problems (synthetic)",
    }


def _difference(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], claims: int) -> dict[str, Any]:
    d = a - b
    error = float(d.std(ddof=1)) / sqrt(len(d))
    mean = float(d.mean())
    p = erfc(abs(mean) / error / sqrt(2)) if error else 1.0
    adjusted = min(1.0, p * claims)
    verdict = "undecided"
    if adjusted < 0.05:
        verdict = "better" if mean > 0 else "worse"
    elif abs(mean) + 1.96 * error < 0.01:
        verdict = "equivalent"
    return {
        "difference": mean,
        "low": mean - 1.96 * error,
        "high": mean + 1.96 * error,
        "p": p,
        "p_adjusted": adjusted,
        "mde": 2.8 * error,
        "n": len(d),
        "method": "paired normal test over problems, Bonferroni (synthetic)",
        "verdict": verdict,
    }


COST = {
    "base": (None, 7_102_464, 4310.0),
    "adapter": (61.2, 1_204_992, 3987.0),
    "merged": (1.4, 7_102_464, 4402.0),
    "gguf-f16": (0.9, 7_145_120, 1812.0),
    "gguf-q8_0": (0.6, 3_911_040, 2207.0),
}


def make_leaderboard(problems: dict[str, Problem], samples: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """The leaderboard that belongs to the samples."""
    families = pd.Series({p.id: p.family for p in problems.values()})
    rate = {v: f.assign(ok=f.outcome == "pass").groupby("problem_id")["ok"] for v, f in samples.items()}
    mean = {v: g.mean() for v, g in rate.items()}
    any_of = {v: g.any().astype(float) for v, g in rate.items()}
    pairs = list(combinations((*VARIANTS[1:], VARIANTS[0]), 2))
    comparisons = [
        {"a": a, "b": b, **_difference(mean[a].to_numpy(), mean[b].to_numpy(), len(pairs))} for a, b in pairs
    ]
    rows = []
    for variant, frame in samples.items():
        make_s, size_bytes, tok_per_s = COST[variant]
        versus = next((c for c in comparisons if (c["a"], c["b"]) == (variant, "base")), None)
        n = int(frame["index"].nunique())
        by_family = {
            name: _estimate(mean[variant][families[mean[variant].index] == name].to_numpy())
            for name in FAMILIES
        }
        rows.append(
            {
                "variant": variant,
                "kind": variant.split("-")[0],
                "rank": 1
                + sum((c["a"] == variant) and c["verdict"] == "worse" for c in comparisons)
                + sum((c["b"] == variant) and c["verdict"] == "better" for c in comparisons),
                "parent": {"base": None, "adapter": "base", "merged": "adapter"}.get(variant, "merged"),
                "sha256": (variant.encode().hex() * 12)[:64],
                "recipe": {
                    "base": "pocket, 3.5 M parameters, trained from scratch",
                    "adapter": "SFT, LoRA r=16 alpha=32, 94 steps, lr 2e-3",
                    "merged": "adapter merged into base (PEFT)",
                    "gguf-f16": "exported, F16",
                    "gguf-q8_0": "exported, Q8_0",
                }[variant],
                "path": f"artifacts/{variant}",
                "n_problems": len(problems),
                "n_samples": len(frame),
                "pass@k": {
                    "1": _estimate(mean[variant].to_numpy()),
                    str(n): _estimate(any_of[variant].to_numpy()),
                },
                "vs_reference": None
                if versus is None
                else {k: v for k, v in versus.items() if k not in ("a", "b")},
                "outcomes": {k: int(v) for k, v in frame["outcome"].value_counts().items()},
                "modes": {"shared": len(frame)},
                "families": by_family,
                "tokens": int(frame["n_tokens"].sum()),
                "tok_per_s": tok_per_s,
                "generate_s": float(frame["n_tokens"].sum()) / tok_per_s,
                "make_s": make_s,
                "size_bytes": size_bytes,
                "peak_rss_bytes": None,
                "finish": {"stop": len(frame) - 10, "length": 10},
                "extraction": {"fenced block": len(frame)},
                "unmeasured": {"vram_bytes": "no CUDA device", "peak_rss_bytes": "variants share a process"},
            }
        )
    return {
        "schema": 1,
        "experiment": "pocket",
        "run": "3fa9c1d27e88",
        "created": "2026-11-21T22:10:03Z",
        "seed": 0,
        "reference": "base",
        "suite": {
            "name": "pocket",
            "split": "test",
            "revision": "9f2c41d8" * 8,
            "n_problems": len(problems),
        },
        "sampling": {
            "style": "chat",
            "temperature": 0.8,
            "top_p": 1.0,
            "top_k": 0,
            "max_new_tokens": 96,
            "samples": n,
        },
        "machine": {
            "device": "cpu",
            "cpu": "Example CPU @ 2.00GHz",
            "cores": 2,
            "ram_bytes": 25_000_000_000,
            "gpu": None,
            "os": "Linux 6.1",
            "python": "3.11.7",
            "packages": {"torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2", "trl": "1.16.0"},
        },
        "isolation": {
            "label": "full: user, pid, net, mount, ipc namespaces, seccomp, rlimits",
            "backend": "embedded",
        },
        "limits": {"cpu_s": 5.0, "wall_s": 20.0, "memory_bytes": 1 << 30},
        "margin": 0.01,
        "k": [1, n],
        "confidence": 0.95,
        "rows": rows,
        "comparisons": comparisons,
        "steps": [
            {"id": "a1b2c3d4e5f6", "name": "train adapter", "seconds": 61.2, "reused": False},
            {"id": "b1b2c3d4e5f6", "name": "merge merged", "seconds": 1.4, "reused": False},
            {"id": "c1b2c3d4e5f6", "name": "export gguf-f16", "seconds": 0.9, "reused": True},
            {"id": "d1b2c3d4e5f6", "name": "generate base", "seconds": 12.1, "reused": False},
        ],
        "curves": {"adapter": sft_curves()},
    }


def sft_curves(steps: int = 94, seed: int = 0) -> dict[str, Any]:
    """What one supervised fine-tuning logs, nothing held out."""
    rng = np.random.default_rng(seed)
    at = range(1, steps + 1)
    series = {
        "loss": [float(0.35 + 1.1 * np.exp(-step / 18) + rng.normal(0, 0.03)) for step in at],
        "learning_rate": [float(2e-3 * min(1.0, step / 6) * (1 - step / (steps + 1))) for step in at],
        "grad_norm": [float(0.6 + 1.8 * np.exp(-step / 12) + abs(rng.normal(0, 0.1))) for step in at],
    }
    return {
        "method": "sft",
        "step": "step",
        "runs": [{"seed": 0, "train": {"steps": list(at), "series": series}}],
        "unmeasured": {"held_out/loss": "nothing was held out; data.eval_fraction holds records out"},
    }


def ppo_curves(*, honest: bool, seeds: int = 3, updates: int = 40) -> dict[str, Any]:
    """Three trainings; without `honest` the checks held out fall away from those that pay."""
    runs = []
    at = np.arange(1, updates + 1)
    for seed in range(seeds):
        rng = np.random.default_rng(seed + 10 * honest)
        paid = 0.5 + 0.4 * (1 - np.exp(-at / 12)) + rng.normal(0, 0.04, updates)
        held = paid - 0.03 if honest else paid - 0.1 - 0.5 * at / updates
        kl = 0.1 * at * (1 if honest else 2) + abs(rng.normal(0, 0.1, updates))
        series = {
            "reward": 1.2 * paid,
            "component/passed": paid,
            "component/fraction": paid + 0.05,
            "pass_rate": paid,
            "held_pass_rate": held,
            "gap": paid - held,
            "kl": kl,
            "entropy": 0.06 * np.exp(-at / 30),
            "clip_fraction": abs(rng.normal(0.02, 0.01, updates)),
            "length": 40 - (0 if honest else 0.6) * at + rng.normal(0, 2, updates),
            "generate_s": rng.normal(2.1, 0.2, updates),
            "execute_wait_s": abs(rng.normal(0.03, 0.01, updates)),
            "train_s": rng.normal(4.2, 0.3, updates),
            "value_loss": 0.1 * np.exp(-at / 20),
            "explained_variance": rng.normal(-0.002, 0.002, updates),
            "learning_rate": np.full(updates, 2e-4),
            "infra": np.zeros(updates),
        }
        alarms = {str(u): f"KL is {kl[u - 1]:.3g} nats a sequence" for u in at if kl[u - 1] > 4}
        train = {"steps": at.tolist(), "series": {name: values.tolist() for name, values in series.items()}}
        runs.append({"seed": seed, "train": train, "alarms": alarms})
    return {
        "method": "ppo",
        "step": "update",
        "marks": {"kl_target": 2.0, "kl_alarm": 4.0},
        "weights": {"passed": 1.0, "fraction": 0.2},
        "runs": runs,
        "unmeasured": {},
    }


def training_row(variant: str, method: str, **figures: Any) -> dict[str, Any]:
    """A row of the training tables: figures are means, spread a little over three seeds."""
    spread = {
        name: None if value is None else {"mean": value, "least": value * 0.9, "most": value * 1.1}
        for name, value in figures.items()
        if name != "unmeasured"
    }
    return {
        "variant": variant,
        "method": method,
        "seeds": [0, 1, 2],
        "trainable_parameters": 100_000,
        "total_parameters": 3_500_000,
        "unmeasured": figures.get("unmeasured", {}),
        **spread,
    }


def reward_model(*pays: str) -> dict[str, Any]:
    """A reward model that is right in four of five held-out pairs, as `leaderboard.trainings` gives it."""
    bins = [{"low": 0.5 + i / 20, "high": 0.55 + i / 20, "pairs": 0} for i in range(10)]
    bins[1] |= {"pairs": 30, "confidence": 0.58, "accuracy": 23 / 30}
    bins[6] |= {"pairs": 10, "confidence": 0.82, "accuracy": 0.9}
    run = {
        "seed": 0,
        "pairs": 40,
        "problems": 25,
        "accuracy": {"value": 0.8, "low": 0.71, "high": 0.88},
        "mean_margin": 0.8,
        "margins": [{"low": i - 2.0, "high": i - 1.0, "pairs": n} for i, n in enumerate((2, 6, 20, 12))],
        "reliability": bins,
        "calibration_error": 0.125,
        "file": "steps/y/reward_model.json",
    }
    return {"pays": list(pays), "runs": [run]}


def paid_answers() -> dict[str, Any]:
    """A right answer that the reward model dislikes, one that tampered, and one that was not measured."""

    def answer(place: int, outcome: str, reward: float | None, parts: Any, **more: Any) -> dict[str, Any]:
        names = ("passed", "fraction", "model", "compiles")
        components = None if parts is None else dict(zip(names, parts, strict=True))
        return {"problem_id": f"pocket-train/{place}", "outcome": outcome, "reward": reward} | (
            {"components": components, "why": "", "held_passed": None, "text": "def double(x):\n    <b>"}
            | more
        )

    return {
        "seed": 0,
        "update": 40,
        "answers": 128,
        "file": "steps/x/rollouts.jsonl",
        "weights": {"passed": 1.0, "fraction": 0.2, "model": 0.5},
        "shown": [
            answer(1, "pass", 0.9, (1.0, 1.0, -0.6, 1.0), held_passed=True, cut=True),
            answer(2, "fail", 0.0, (0.0, 0.5, 0.0, 1.0), why="tampering: reads the checks"),
            answer(3, "infra", None, None, why="infra: not measured"),
        ],
        "unmeasured": "",
    }
