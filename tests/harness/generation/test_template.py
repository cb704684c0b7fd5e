"""An adapter is asked in the template that it was trained with, not in its base's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.generation.hf import TransformersGenerator
from trainers import Artifact, identify

pytestmark = pytest.mark.train


def test_the_adapters_own_template_renders_its_chats(variants: dict[str, Artifact], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(variants["adapter"].path, tmp_path / "adapter"))
    (folder / "artifact.json").unlink()
    (folder / "chat_template.jinja").write_text("ASK {{ messages[0].content }} ANSWER")
    other = identify(folder, base=variants["base"])
    messages = [{"role": "user", "content": "Add 1."}]
    rendered = []
    for artifact in (variants["adapter"], other):
        generator = TransformersGenerator(artifact, batch_size=1, threads=1, device="cpu", dtype="fp32")
        rendered.append(generator.render_chat(messages))
        generator.close()
    assert rendered == ["<|im_start|>user\nAdd 1.<|im_end|>\n<|im_start|>assistant\n", "ASK Add 1. ANSWER"]
