"""The sampler of a policy that learns is the engine of evaluation, on weights that change under it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from assay.harness.generation import Request, Sampling, load_generator  # noqa: E402
from assay.harness.generation.load import PolicySampler  # noqa: E402
from assay.trainers import Artifact, identify  # noqa: E402
from assay.trainers.data.problems import SampleRequest  # noqa: E402
from tests.tiny import make_tiny_model  # noqa: E402

pytestmark = pytest.mark.train
TEXTS = [f"def f{i}(x):\n    return x + {i}\n" for i in range(60)]
ASKS = [SampleRequest(i, f"def f{i % 3}(x):\n", 1000 + i) for i in range(9)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A random model that ends an answer as readily as it writes its favourite token."""
    folder = tmp_path_factory.mktemp("policy")
    made = make_tiny_model(folder / "random", TEXTS)
    model, tokenizer = load(made.path)
    with torch.no_grad():
        favourite = model(**tokenizer(ASKS[0].prompt, return_tensors="pt")).logits[0, -1].argmax()
        model.lm_head.weight[tokenizer.eos_token_id] = model.lm_head.weight[favourite]
    model.save_pretrained(str(folder / "model"))
    tokenizer.save_pretrained(str(folder / "model"))
    return identify(folder / "model")


def load(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(str(folder))


def test_it_draws_what_evaluation_would_draw_and_keeps_the_end_token(tiny: Artifact) -> None:
    model, tokenizer = load(tiny.path)
    drawn = {
        d.key: d
        for d in PolicySampler(model, tokenizer, batch_size=4).draw(ASKS, temperature=1.0, max_new_tokens=40)
    }
    generator = load_generator(tiny, batch_size=4)
    requests = [Request(str(a.key), a.key, a.prompt, a.seed) for a in ASKS]
    samples = {s.index: s for s in generator.generate(requests, Sampling(temperature=1.0, max_new_tokens=40))}
    generator.close()
    assert drawn.keys() == samples.keys() == set(range(9))
    ended = 0
    for key, one in drawn.items():
        sample = samples[key]
        assert one.text == sample.completion
        assert one.ended is (sample.finish_reason == "stop")
        end = one.token_ids[len(sample.token_ids) :]
        assert one.token_ids[: len(sample.token_ids)] == sample.token_ids
        assert [tokenizer.decode([t]) in ("<|im_end|>", "<|endoftext|>") for t in end] == [True] * one.ended
        assert list(one.prompt_ids) == tokenizer(ASKS[key].prompt)["input_ids"]
        ended += one.ended
    assert ended > 0


def test_a_stop_string_ends_an_answer_without_an_end_token(tiny: Artifact) -> None:
    model, tokenizer = load(tiny.path)
    sampler = PolicySampler(model, tokenizer, batch_size=4)
    for one in sampler.draw(ASKS, temperature=1.0, max_new_tokens=60, stop=("e",)):
        assert "e" not in one.text
        if one.ended:
            assert one.token_ids


def test_it_sees_the_weights_as_they_are_at_each_call(tiny: Artifact) -> None:
    model, tokenizer = load(tiny.path)
    sampler = PolicySampler(model, tokenizer, batch_size=4)

    def texts() -> list[str]:
        return [
            d.text for d in sorted(sampler.draw(ASKS, temperature=1.0, max_new_tokens=8), key=lambda d: d.key)
        ]

    first = texts()
    assert texts() == first
    with torch.no_grad():
        model.lm_head.weight.mul_(-1)
    assert texts() != first


def test_it_pickles_by_name_into_another_process() -> None:
    assert pickle.loads(pickle.dumps(PolicySampler)) is PolicySampler
