"""Both backends on real models: the same prompts, the same ids, the same draws, and so the same samples."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.harness.errors import BadInputError, MissingToolError
from assay.harness.generation import Request, Sample, Sampling, load_generator
from assay.trainers import Artifact, identify
from assay.trainers.errors import MissingExtraError
from assay.trainers.gguf import export_gguf
from assay.trainers.pocket.pretrain import FOLDER

pytestmark = [pytest.mark.train, pytest.mark.gguf]

ROOT = Path(__file__).parents[3]
POCKET = FOLDER / "model"
GREEDY, SAMPLED = Sampling(max_new_tokens=40), Sampling(temperature=0.8, top_p=0.95, max_new_tokens=40)
Answers = dict[tuple[str, int], Sample]


def answers(
    artifact: Artifact, requests: list[Request], sampling: Sampling, *, batch_size: int = 16
) -> Answers:
    dtype = "auto" if artifact.path.suffix == ".gguf" else "fp32"
    generator = load_generator(artifact, batch_size=batch_size, threads=1, dtype=dtype)
    try:
        return {(s.problem_id, s.index): s for s in generator.generate(requests, sampling)}
    finally:
        generator.close()


@pytest.fixture
def requests(prompt_of: Callable[[int], str]) -> list[Request]:
    return [Request(f"p{i}", j, prompt_of(i), 100 * i + j) for i in range(12) for j in range(3)]


def agreement(a: Answers, b: Answers) -> float:
    assert a.keys() == b.keys()
    return sum(a[k] == b[k] for k in a) / len(a)


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("kind", ["merged", "f32"])
def test_a_sample_is_the_same_in_any_batch(
    variants: dict[str, Artifact], requests: list[Request], kind: str, sampling: Sampling
) -> None:
    """Sums in another order move logits by 1e-6, which flips a draw about once in a million tokens."""
    whole = answers(variants[kind], requests, sampling, batch_size=64)
    for batch_size in (1, 7):
        assert answers(variants[kind], requests, sampling, batch_size=batch_size) == whole
    last = requests[-5:]
    assert answers(variants[kind], last, sampling) == {
        (r.problem_id, r.index): whole[r.problem_id, r.index] for r in last
    }


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_adapter_merged_and_gguf_give_the_same_samples(
    variants: dict[str, Artifact], requests: list[Request], sampling: Sampling
) -> None:
    merged = answers(variants["merged"], requests, sampling)
    assert agreement(answers(variants["adapter"], requests, sampling), merged) == 1
    assert agreement(answers(variants["f32"], requests, sampling), merged) >= 0.95
    assert agreement(answers(variants["f16"], requests, sampling), merged) >= 0.9
    assert agreement(answers(variants["base"], requests, sampling), merged) < 0.5


def test_seeds_make_samples_and_greedy_needs_none(
    variants: dict[str, Artifact], requests: list[Request]
) -> None:
    sampled = answers(variants["merged"], requests, Sampling(temperature=1.5, max_new_tokens=40))
    assert len({s.token_ids for s in sampled.values() if s.problem_id == "p0"}) == 3
    greedy = answers(variants["merged"], requests, GREEDY)
    assert len({s.token_ids for s in greedy.values() if s.problem_id == "p0"}) == 1


def test_greedy_is_what_transformers_generate_gives(
    variants: dict[str, Artifact], requests: list[Request]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = str(variants["merged"].path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    ours = answers(variants["merged"], requests, GREEDY)
    for request in requests[::3]:
        ids = tokenizer(request.prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
        out = model.generate(ids, max_new_tokens=40, do_sample=False)[0, ids.shape[1] :].tolist()
        sample = ours[request.problem_id, request.index]
        if sample.finish_reason == "stop":
            assert out[len(sample.token_ids)] in {0, 2}
        assert tuple(out[: len(sample.token_ids)]) == sample.token_ids
        assert sample.completion == tokenizer.decode(sample.token_ids, skip_special_tokens=True)


def test_stop_strings_cut_alike(variants: dict[str, Artifact], requests: list[Request]) -> None:
    plain = answers(variants["f32"], requests, GREEDY)
    stop = next(s.completion[2:5] for s in plain.values() if len(s.completion) > 8)
    sampling = Sampling(max_new_tokens=40, stop=(stop,))
    cut = answers(variants["f32"], requests, sampling)
    assert agreement(answers(variants["merged"], requests, sampling), cut) >= 0.95
    for key, sample in cut.items():
        assert sample.completion == plain[key].completion.split(stop)[0]
        assert sample.finish_reason == "stop" or stop not in plain[key].completion


@pytest.mark.parametrize("kind", ["base", "f16"])
def test_prompts_are_rendered_and_tokenised_alike(variants: dict[str, Artifact], kind: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(variants["base"].path))
    generator = load_generator(variants[kind], threads=1)
    try:
        chat = [{"role": "user", "content": "Add é and e\u0301 to\n\n x {{ y }} {% z %}"}]
        rendered = generator.render_chat(chat)
        assert rendered == tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = generator.encode(rendered)
        assert ids == tokenizer(rendered, add_special_tokens=False)["input_ids"]
        assert ids.count(1) == 2, "the two turns' starts are single special tokens"
        assert ids == generator.encode(unicodedata.normalize("NFD", rendered))
    finally:
        generator.close()


@pytest.mark.parametrize("kind", ["base", "f16"])
def test_context_and_misuse(variants: dict[str, Artifact], kind: str) -> None:
    generator = load_generator(variants[kind], threads=1, batch_size=2)
    with pytest.raises(
        BadInputError, match="the prompt of long has 600 tokens and the model's context is 512"
    ):
        list(generator.generate([Request("long", 0, "1" * 600, 0)], GREEDY))
    nearly = Request("nearly", 0, "1" * 505, 0)
    sample = next(iter(generator.generate([nearly], Sampling(max_new_tokens=64, temperature=2.0))))
    assert len(sample.token_ids) <= 7
    assert generator.stats.samples == 1
    assert generator.stats.prompt_tokens == 505
    generator.close()
    generator.close()
    with pytest.raises(RuntimeError, match="closed"):
        generator.encode("x")


def test_what_this_machine_or_model_cannot_do(variants: dict[str, Artifact]) -> None:
    import torch

    with pytest.raises(BadInputError, match="batch_size"):
        load_generator(variants["base"], batch_size=0)
    with pytest.raises(BadInputError, match="unknown dtype 'fp64'"):
        load_generator(variants["base"], dtype="fp64")
    with pytest.raises(BadInputError, match="GGUF"):
        load_generator(variants["f16"], dtype="fp32")
    if not torch.cuda.is_available():
        with pytest.raises(MissingToolError, match="no CUDA device"):
            load_generator(variants["base"], device="cuda")
        with pytest.raises(MissingToolError, match="runs on the CPU only"):
            load_generator(variants["f16"], device="cuda")


@pytest.mark.parametrize(
    ("kind", "package", "extra"), [("base", "torch", "train"), ("f16", "llama_cpp", "gguf")]
)
def test_a_missing_package_is_named_with_its_extra(
    variants: dict[str, Artifact], kind: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises((MissingToolError, MissingExtraError), match=rf"pip install 'assay\[{extra}\]'"):
        load_generator(variants[kind])


def test_the_path_taken_is_told(variants: dict[str, Artifact]) -> None:
    import torch

    where = "cuda:0" if torch.cuda.is_available() else "cpu"
    expected = {
        "merged": f"transformers, sdpa attention, bfloat16 on {where}",
        "f16": "llama.cpp, flash attention",
    }
    for kind, dtype in (("merged", "bf16"), ("f16", "auto")):
        generator = load_generator(variants[kind], threads=1, device="auto", dtype=dtype)
        assert generator.backend.startswith(expected[kind])
        generator.close()


@pytest.mark.slow
def test_nothing_is_printed(variants: dict[str, Artifact]) -> None:
    """In a fresh interpreter, where the libraries are imported for the first time."""
    code = f"""
from pathlib import Path
from assay.harness.generation import Request, Sampling, load_generator
from assay.trainers import identify
for path in ({str(variants["adapter"].path)!r}, {str(variants["q8_0"].path)!r}):
    generator = load_generator(identify(Path(path)), threads=1)
    assert len(list(generator.generate([Request("p", 0, "x", 0)], Sampling(max_new_tokens=2)))) == 1
    generator.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_long_prompts_are_read_in_pieces(variants: dict[str, Artifact], tmp_path: Path) -> None:
    """A prompt beyond one llama.cpp batch gives what transformers gives."""
    import json
    import shutil

    folder = Path(shutil.copytree(variants["merged"].path, tmp_path / "long"))
    (folder / "artifact.json").unlink()
    config = json.loads((folder / "config.json").read_text()) | {"max_position_embeddings": 2048}
    (folder / "config.json").write_text(json.dumps(config))
    model = identify(folder)
    requests = [Request("p", 0, "Add 7 to x. " * 150, 1), Request("q", 0, "Add 3", 2)]
    sampling = Sampling(max_new_tokens=12)
    made = export_gguf(model, tmp_path / "long.gguf", "f32")
    assert agreement(answers(made, requests, sampling), answers(model, requests, sampling)) == 1


@pytest.mark.slow
@pytest.mark.skipif(not POCKET.is_dir(), reason="the pocket model's weights are not in this checkout")
def test_the_pocket_model_answers_alike_as_gguf(tmp_path: Path) -> None:
    """Greedy, on 40 problems: all of them from F16, nearly all from Q8_0."""
    from assay.suites import load_suite

    model = identify(POCKET)
    generator = load_generator(model, threads=1, dtype="fp32")
    problems = load_suite("pocket", split="dev").problems[:40]
    chats = [generator.render_chat([{"role": "user", "content": p.instruction}]) for p in problems]
    requests = [Request(p.id, 0, chat, 0) for p, chat in zip(problems, chats, strict=True)]
    generator.close()
    sampling = Sampling(max_new_tokens=96)
    reference = answers(model, requests, sampling)
    assert (
        agreement(answers(export_gguf(model, tmp_path / "f16.gguf", "f16"), requests, sampling), reference)
        >= 0.95
    )
    assert (
        agreement(answers(export_gguf(model, tmp_path / "q8.gguf", "q8_0"), requests, sampling), reference)
        >= 0.8
    )
