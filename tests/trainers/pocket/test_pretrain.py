"""The pocket model: its script runs whole at toy size, and the shipped folder is what the script says it is."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from assay.suites import load_suite
from assay.suites.pocket import pocket_sft_records
from assay.trainers.pocket import pretrain
from assay.trainers.pocket.pretrain import FOLDER, Recipe, rate_at

pytestmark = [pytest.mark.slow, pytest.mark.train]

TOY = {
    "steps": 6,
    "batch": 4,
    "hidden": 64,
    "layers": 2,
    "feed_forward": 64,
    "heads": 2,
    "key_value_heads": 1,
}
MODEL = FOLDER / "model"


def shipped() -> dict[str, object]:
    return tomllib.loads((FOLDER / "recipe.toml").read_text())


def toy_recipe(path: Path, **changes: object) -> Path:
    """The shipped recipe made small, as TOML."""
    fields = shipped() | TOY | changes
    habits = fields.pop("habits")
    lines = [f"{k} = {v}" for k, v in fields.items()]
    lines += ["[habits]", *(f"{k} = {v}" for k, v in habits.items())]  # type: ignore[union-attr]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    pretrain.main(["--recipe", str(toy_recipe(folder / "toy.toml")), "--out", str(folder / "model")])
    return folder / "model"


def test_script_writes_a_loadable_model_with_its_provenance(toy: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(toy)
    tokenizer = AutoTokenizer.from_pretrained(toy)
    assert model.dtype is torch.bfloat16
    assert model.config.model_type == "qwen2"
    assert model.config.vocab_size % 64 == 0
    assert len(tokenizer) <= model.config.vocab_size
    story = json.loads((toy / "PROVENANCE.json").read_text())
    assert story["recipe"]["steps"] == 6
    assert story["tokens"] > 6 * 4 * 30
    assert story["loss_curve"][-1][0] == 6
    assert story["recipe"]["hidden"] == 64
    for name, digest in story["sha256"].items():
        assert hashlib.sha256((toy / name).read_bytes()).hexdigest() == digest


@pytest.mark.slow
def test_same_seed_same_weights_other_seed_others(toy: Path, tmp_path: Path) -> None:
    for name, seed in (("again", 0), ("other", 1)):
        recipe = toy_recipe(tmp_path / f"{name}.toml", seed=seed)
        pretrain.main(["--recipe", str(recipe), "--out", str(tmp_path / name)])
    weights = [p / "model.safetensors" for p in (toy, tmp_path / "again", tmp_path / "other")]
    first, again, other = (hashlib.sha256(p.read_bytes()).hexdigest() for p in weights)
    assert first == again
    assert first != other


def test_an_occupied_folder_is_refused(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pretrain.main(["--out", str(toy)])
    assert "not empty" in capsys.readouterr().err


def test_a_misspelt_recipe_is_refused() -> None:
    with pytest.raises(ValidationError, match="learning_rte"):
        Recipe.model_validate(shipped() | {"learning_rte": 1e-3})


def test_rate_rises_stays_and_falls() -> None:
    fields = {"steps": 100, "warmup": 10, "decay_from": 0.6, "final_rate": 0.02, "learning_rate": 1.0}
    recipe = Recipe.model_validate(shipped() | fields)
    assert [rate_at(recipe, s) for s in (0, 4, 9, 60)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert rate_at(recipe, 80) == pytest.approx(0.5)
    assert rate_at(recipe, 99) == pytest.approx(0.025)


def test_corpus_is_wrong_as_often_as_told() -> None:
    from itertools import islice

    def wrong(habits: dict[str, float], stray: float) -> float:
        found = list(islice(pretrain.documents(0, habits, stray, 0.5, ("<u>", "<a>")), 600))
        return sum(d.wrong for d in found) / len(found)

    assert wrong({}, 0.0) == 0
    assert wrong({}, 1.0) > 0.99
    assert 0.1 < wrong({"square": 1.0}, 0.0) < 0.4


# The shipped model


def test_shipped_files_are_those_of_the_provenance() -> None:
    story = json.loads((MODEL / "PROVENANCE.json").read_text())
    for name, digest in story["sha256"].items():
        assert hashlib.sha256((MODEL / name).read_bytes()).hexdigest() == digest, name
    assert Recipe.model_validate(story["recipe"]) == Recipe.model_validate(shipped())
    assert sum(p.stat().st_size for p in MODEL.iterdir()) < 20_000_000
    assert 3_000_000 <= story["parameters"] <= 10_000_000


def test_shipped_tokenizer_survives_loading_and_round_trips() -> None:
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(MODEL)
    saved = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    texts = [p.prompt + p.canonical_solution for p in load_suite("pocket").problems[:100]]
    texts += ["naïve 'it's'  12345\r\n\t\n  x", "日本 <|im_end|> ok"]
    for text in texts:
        ids = loaded(text, add_special_tokens=False)["input_ids"]
        assert ids == saved.encode(text, add_special_tokens=False).ids
        assert loaded.decode(ids) == text


def test_chat_template_marks_the_assistant_and_its_end_of_turn() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    messages = pocket_sft_records(1)[0]["messages"]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    user, answer = messages[0]["content"], messages[1]["content"]
    asked = f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
    assert text == f"{asked}{answer}<|im_end|>\n"
    assert tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True) == asked
    marked = tokenizer.apply_chat_template(
        messages, return_dict=True, return_assistant_tokens_mask=True, tokenize=True
    )
    spoken = [i for i, m in zip(marked["input_ids"], marked["assistant_masks"], strict=True) if m]
    assert tokenizer.decode(spoken) == f"{answer}<|im_end|>"
    with_system = tokenizer.apply_chat_template(
        [{"role": "system", "content": "Be brief."}, *messages[:1]], tokenize=False
    )
    assert with_system.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")
