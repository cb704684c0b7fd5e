"""GGUF export: the same tokens, the same logits, every type; and clear refusals."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from assay.trainers import Artifact, ArtifactKind, ExportError, identify
from assay.trainers.gguf import QUANTIZATIONS, export_gguf
from assay.trainers.gguf.native import NativeContext, NativeModel
from assay.trainers.gguf.vocabulary import TokenType, read_vocabulary, strip_generation_markers
from tests.tiny import make_tiny_model

pytestmark = [pytest.mark.train, pytest.mark.gguf]

NASTY = (
    "def f(x):\n    return x + 1\n",
    "    indented\n\n\n\ttabs\t\tand  spaces   \n",
    "it's we'll THEY'RE I'M don't 'tis",
    "1234567890 3.14 0x1F 1e-9 ١٢٣",
    "café naïve Ærøskøbing",
    "e\u0301 A\u030a decomposed",
    "漢字かな交じり文 한국어 ไทย עברית العربية",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",
    "\u00a0\u2003\u200b\ufeff odd spaces \r\n \r x",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>no<|im_end|><|endoftext|>x<|im_end",
    "!!!???...---===>>>{{{}}}[[]]();;;::",
    "\x00\x01\x7f control",
    "a" * 300,
    " ",
    "\n",
    "\n\n \n  \n",
    "x\n\n\ny",
    "' \" ` \\ \\n",
)


def native_logits(path: Path, ids: list[int]) -> Any:
    with NativeModel(path) as model:
        context = NativeContext(model, rows=1, tokens_per_row=64, batch_tokens=64, threads=1)
        try:
            n = len(ids)
            return context.decode(ids, range(n), [0] * n, [True] * n).copy()
        finally:
            context.close()


def hf_logits(artifact: Artifact, ids: list[int]) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(artifact.path), dtype=torch.float32)
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].numpy()


IDS = [5, 40, 77, 300, 3, 260, 9, 12, 13, 14, 200, 1, 2, 60]


@pytest.mark.parametrize("name", ["tiny", "tied"])
def test_f32_gives_the_logits_of_transformers(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Structure, biases and embeddings are right where F32 agrees to a thousandth of the logits' spread; llama.cpp
    keeps keys and values in F16."""
    import numpy as np

    model: Artifact = request.getfixturevalue(name)
    made = export_gguf(model, tmp_path / "m.gguf", "f32")
    reference = hf_logits(model, IDS)
    assert np.abs(native_logits(made.path, IDS) - reference).max() < 0.02 * reference.std()


def test_a_lost_bias_would_be_seen(tiny: Artifact, tmp_path: Path) -> None:
    """The check above has teeth: without the query biases the logits are far off."""
    import numpy as np
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny.path, tmp_path / "unbiased"))
    (folder / "artifact.json").unlink()
    weights = load_file(folder / "model.safetensors")
    changed = {k: v * 0 if k.endswith("q_proj.bias") else v for k, v in weights.items()}
    save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
    made = export_gguf(identify(folder), tmp_path / "m.gguf", "f32")
    reference = hf_logits(tiny, IDS)
    assert np.abs(native_logits(made.path, IDS) - reference).max() > 0.1 * reference.std()


def test_token_ids_equal_transformers_on_nasty_texts(tiny: Artifact, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(tiny.path))
    made = export_gguf(tiny, tmp_path / "m.gguf", "f16")
    with NativeModel(made.path) as model:
        for text in NASTY:
            expected = tokenizer(text, add_special_tokens=False)["input_ids"]
            # NFC is the caller's part: assay.harness.generation does it, and tests it end to end
            assert model.tokenize(unicodedata.normalize("NFC", text)) == expected, repr(text)


def test_every_quantisation_of_a_model_of_suitable_widths(tmp_path: Path) -> None:
    """K-quants need rows of 256. The coarser the type, the smaller the file; all stay near the F32 logits."""
    import numpy as np

    model = make_tiny_model(tmp_path / "base", ["a b c"], hidden_size=256, layers=1)
    reference = hf_logits(model, IDS)
    error, size = {}, {}
    for kind in ("f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q2_k"):
        made = export_gguf(model, tmp_path / f"{kind}.gguf", kind)
        error[kind] = float(np.abs(native_logits(made.path, IDS) - reference).mean() / reference.std())
        size[kind] = made.path.stat().st_size
        assert made.kind is ArtifactKind.GGUF
        assert kind.upper() in made.recipe
        assert identify(made.path) == made
    assert size["f32"] > size["f16"] == size["bf16"] > size["q8_0"]
    assert size["q8_0"] > size["q6_k"] > size["q5_k_m"] > size["q4_k_m"] > size["q2_k"]
    assert error["f32"] < error["f16"] < error["bf16"] < error["q6_k"] < error["q4_k_m"] < error["q2_k"] < 1
    assert not list(tmp_path.glob("*.part"))


def test_the_vocabulary_names_padded_rows(tiny: Artifact) -> None:
    vocabulary = read_vocabulary(tiny.path, 384)
    assert len(vocabulary.tokens) == len(set(vocabulary.tokens)) == 384
    assert vocabulary.tokens[:3] == ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    assert vocabulary.types[:3] == (TokenType.CONTROL,) * 3
    assert (
        vocabulary.types.count(TokenType.UNUSED) == sum(t.startswith("[PAD") for t in vocabulary.tokens) > 0
    )
    assert (vocabulary.eos_id, vocabulary.pad_id) == (2, 0)


def test_the_chat_template_loses_its_training_markers_only(tiny: Artifact, tmp_path: Path) -> None:
    made = export_gguf(tiny, tmp_path / "m.gguf", "f16")
    with NativeModel(made.path) as model:
        template = model.metadata("tokenizer.chat_template")
    assert template is not None
    assert "generation %}" not in template
    assert "add_generation_prompt" in template


@pytest.mark.parametrize(
    ("template", "stripped"),
    [
        ("a{% generation %}b{% endgeneration %}c", "abc"),
        ("a {%- generation -%} b {%- endgeneration %} c", "ab c"),
        ("a\n  {% generation %}\n b {% endgeneration %}\n\nc", "a\n b \nc"),
        ("a\n  {%+ generation +%}\n b", "a\n  \n b"),
        (
            "{%generation%}x{% if add_generation_prompt %}y{% endif %}",
            "x{% if add_generation_prompt %}y{% endif %}",
        ),
    ],
)
def test_markers_take_with_them_what_jinja_would(template: str, stripped: str) -> None:
    assert strip_generation_markers(template) == stripped


def edit_config(model: Artifact, folder: Path, **changes: object) -> Artifact:
    shutil.copytree(model.path, folder)
    (folder / "artifact.json").unlink()
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return identify(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"architectures": ["FalconForCausalLM"]}, "architecture FalconForCausalLM cannot be exported"),
        ({"use_sliding_window": True}, "a sliding attention window is set"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope 'yarn' has no 'factor'"),
        ({"hidden_act": "gelu"}, "activation 'gelu'"),
        ({"vocab_size": 100}, "outside the model's vocabulary of 100"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    tiny: Artifact, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    model = edit_config(tiny, tmp_path / "odd", **changes)
    out = tmp_path / "out" / "m.gguf"
    with pytest.raises(ExportError, match=says):
        export_gguf(model, out, "f16")
    assert list(out.parent.iterdir()) == []


def test_a_width_that_a_type_cannot_pack_is_refused(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "base", ["a"], hidden_size=48, layers=1)
    with pytest.raises(ExportError, match=r"cannot be Q8_0"):
        export_gguf(model, tmp_path / "m.gguf", "q8_0")


def test_weights_beyond_f16_are_refused(tiny: Artifact, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model = edit_config(tiny, tmp_path / "large")
    weights = load_file(model.path / "model.safetensors")
    weights["lm_head.weight"][0, 0] = 1e6
    save_file(weights, model.path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ExportError, match="exceeds the range of f16"):
        export_gguf(identify(model.path), tmp_path / "m.gguf", "f16")
    export_gguf(identify(model.path), tmp_path / "m.gguf", "bf16")


def test_unknown_types_and_kinds_are_refused(tiny: Artifact, adapter: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"unknown GGUF quantisation 'q9'; known: f32, f16"):
        export_gguf(tiny, tmp_path / "m.gguf", "q9")
    with pytest.raises(ExportError, match="merge it first"):
        export_gguf(adapter, tmp_path / "m.gguf", "f16")
    assert len(QUANTIZATIONS) == len(set(QUANTIZATIONS))


def test_an_earlier_file_stays_until_the_new_one_is_whole(
    tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "m.gguf"
    first = export_gguf(tiny, out, "f16").sha256

    def fail(*_: object) -> None:
        raise ExportError("the disk is full")

    monkeypatch.setattr("assay.trainers.gguf.write._prove_loads", fail)
    with pytest.raises(ExportError, match="disk is full"):
        export_gguf(tiny, out, "f32")
    assert identify(out).sha256 == first
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["m.gguf", "m.gguf.artifact.json"]


def test_a_damaged_file_does_not_load(tiny: Artifact, tmp_path: Path) -> None:
    made = export_gguf(tiny, tmp_path / "m.gguf", "f16")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(made.path.read_bytes()[: made.path.stat().st_size // 2])
    from assay.trainers import ArtifactError

    with pytest.raises(ArtifactError, match="cannot load"):
        NativeModel(cut)


def test_nothing_is_printed(tiny: Artifact, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    export_gguf(tiny, tmp_path / "m.gguf", "q8_0")
    assert capfd.readouterr() == ("", "")
