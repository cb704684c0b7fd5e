"""What a showcase does to a tier on a device: what is chosen is what `assay plan` says to fit."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.errors import UnmeasuredError
from assay.harness.experiment import Experiment, MergeVariant, TrainVariant, find_experiment, load_experiment
from assay.harness.pipeline.tier_settings import TierSettings, check_host, choose_settings
from assay.harness.profiling.memory import find_tier, tier_names
from assay.harness.profiling.memory.devices import Device, cpu_device, find_device
from assay.harness.profiling.memory.verdict import COMFORTABLE
from assay.trainers.config import SftConfig

GIB = 1 << 30
ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
LAB = load_experiment(find_experiment("showcase"))


def fit(tier: str, device: Device | str) -> TierSettings:
    found = find_tier(tier)
    return choose_settings(
        found, found.architecture, find_device(device) if isinstance(device, str) else device, LAB
    )


def config_of(experiment: Experiment) -> SftConfig:
    (train,) = (v for v in experiment.variant if isinstance(v, TrainVariant))
    return SftConfig.model_validate(train.config)


@pytest.mark.parametrize("device", ["cpu", "t4", "h100"])
def test_the_pocket_model_has_the_labs_own_settings(device: str) -> None:
    made = fit("pocket", device).apply(LAB)
    assert config_of(made) == config_of(LAB)
    assert made.engine == LAB.engine
    assert [v.name for v in made.variant] == [v.name for v in LAB.variant]


@pytest.mark.parametrize(
    ("tier", "device", "method", "batch", "dtype"),
    [
        ("tiny", "t4", "lora", 4, "fp16"),
        ("small", "rtx4090", "lora", 4, "bf16"),
        ("medium", "rtx4090", "lora", 4, "bf16"),
        ("medium", "t4", "qlora", 1, "fp16"),
        ("large", "h100", "lora", 4, "bf16"),
        ("large", "74GiB", "qlora", 1, "bf16"),
    ],
)
def test_what_is_chosen_is_what_the_plan_says_to_fit(
    tier: str, device: str, method: str, batch: int, dtype: str
) -> None:
    made = fit(tier, device)
    told = made.to_json()
    assert (told["method"], told["batch_size"], told["engine_dtype"]) == (method, batch, dtype)
    way = f"--batch {batch} --accumulation {16 // batch} --seq 512 --optimizer adamw_torch"
    checkpointing = "--checkpointing" if told["gradient_checkpointing"] else "--no-checkpointing"
    planned = plan(f"--tier {tier} --device {device} --method {method} {way} {checkpointing}")
    assert planned["peak_bytes"] == made.train_bytes
    assert planned["verdict"] in ("fits", made.state)
    assert planned["setup"]["compute"] == dtype


def plan(options: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["plan", "--json", *options.split()], catch_exceptions=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@ANY_SPEED
@given(
    st.sampled_from(tier_names()),
    st.floats(0.05, 200),
    st.sampled_from([None, (7, 5), (9, 0)]),
    st.booleans(),
)
def test_nothing_is_chosen_that_does_not_fit(
    tier: str, room_gib: float, capability: tuple[int, int] | None, gpu: bool
) -> None:
    room = round(room_gib * GIB)
    device = Device("x", room, room, gpu, capability if gpu else None, "made up")
    try:
        made = fit(tier, device)
    except UnmeasuredError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert needed(tier, device, refusal) > room_gib - 0.01
        return
    peak = max(made.train_bytes, made.generate_bytes)
    assert peak <= room
    assert made.state == ("fits" if peak <= COMFORTABLE * room else "tight")
    config = config_of(made.apply(LAB))
    assert config.batch_size * config.gradient_accumulation_steps == 16
    assert (config.quantization is not None) == made.quantised
    assert device.gpu or not made.quantised
    (merge,) = (v for v in made.apply(LAB).variant if isinstance(v, MergeVariant))
    assert merge.recipe.onto == ("trained" if made.quantised else "full")
    if made.quantised:
        assert config.adapter.alpha == config.adapter.r  # type: ignore[union-attr]


def needed(tier: str, device: Device, said: str) -> float:
    """GiB that the least demanding way takes, as the refusal tells them; what it tells is what a device with that much
    room is given."""
    found = re.search(r"at least ([\d.]+) (GiB|MiB) to train and ([\d.]+) (GiB|MiB) to generate", said)
    assert found is not None, said
    train, generate = (float(found[i]) / (1024 if found[i + 1] == "MiB" else 1) for i in (1, 3))
    enough = round((max(train, generate) + 0.01) * GIB)
    assert fit(tier, replace(device, room_bytes=enough)).state == "tight"
    return max(train, generate)


def test_the_rate_is_the_papers_for_the_size() -> None:
    rates = {tier: fit(tier, "h200").config.learning_rate for tier in tier_names()}
    assert rates == {"pocket": 1e-3, "tiny": 2e-4, "small": 2e-4, "medium": 2e-4, "large": 1e-4}


def test_a_refusal_names_the_device_and_what_is_needed() -> None:
    said = r"^large does not fit the 23\.99 GiB of NVIDIA GeForce RTX 4090 .*at least .* to train and 61\.\d+ GiB to"
    with pytest.raises(UnmeasuredError, match=said):
        fit("large", "rtx4090")


def test_the_settings_are_said() -> None:
    said = str(fit("medium", "t4"))
    assert said.startswith("QLoRA on nf4, 1 x 16 sequences a step, checkpointing, lr 0.0002; generating")
    assert "of the 15.00 GiB of NVIDIA T4" in said
    assert said.endswith(": tight")


def test_host_memory_must_hold_two_copies_in_fp32() -> None:
    architecture = find_tier("tiny").architecture
    exactly = 8 * architecture.parameters
    check_host(architecture, replace(cpu_device(), room_bytes=exactly))
    with pytest.raises(UnmeasuredError, match="2 copies of the model in fp32 in host memory"):
        check_host(architecture, replace(cpu_device(), room_bytes=exactly - 1))
