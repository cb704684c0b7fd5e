"""An adapter is asked in the template that it was trained with, not in its base's; a GGUF file as its source is."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from assay.harness.errors import BadInputError
from assay.harness.generation.batching import EngineGenerator
from assay.harness.generation.llama_engine import load_llama, render
from assay.harness.generation.torch_engine import load_transformers
from assay.trainers import Artifact, identify
from assay.trainers.gguf import export_gguf
from assay.trainers.templates import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

pytestmark = pytest.mark.train


def test_the_adapters_own_template_renders_its_chats(variants: dict[str, Artifact], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(variants["adapter"].path, tmp_path / "adapter"))
    (folder / "artifact.json").unlink()
    (folder / "chat_template.jinja").write_text("ASK {{ messages[0].content }} ANSWER")
    other = identify(folder, base=variants["base"])
    messages = [{"role": "user", "content": "Add 1."}]
    rendered = []
    for artifact in (variants["adapter"], other):
        generator = load_transformers(artifact, batch_size=1, threads=1, device="cpu", dtype="fp32")
        rendered.append(generator.render_chat(messages))
        generator.close()
    assert rendered == ["<|im_start|>user\nAdd 1.<|im_end|>\n<|im_start|>assistant\n", "ASK Add 1. ANSWER"]


LLAMA_3 = (
    "{{- bos_token }}{%- if not tools is defined %}{%- set tools = none %}{%- endif %}"
    "{%- if not date_string is defined %}{%- set date_string = strftime_now('%Y') %}{%- endif %}"
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message.content | trim + eos_token }}"
    "{%- endfor %}{%- if tools is not none %}TOOLS{%- endif %}{{ date_string }}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)
MISTRAL = (
    "{{ bos_token + messages[0].role }}\n{% for message in messages %}\n"
    "  {% if message.role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}\n"
    "{% if loop.index > 2 %}{% break %}{% endif %}"
    "[INST] {{ message.content | tojson }} [/INST]\n"
    "{% generation %}{{ message | tojson(indent=2) }}{% endgeneration %}\n"
    "{% endfor %}"
)
PLAIN = "{{ bos_token }}{% if bos_token is defined %}DEFINED{% endif %}{{ messages[0].content }}"


@pytest.fixture(params=["<|im_start|>", None], ids=["bos", "no bos"])
def both(
    request: pytest.FixtureRequest, variants: dict[str, Artifact], tmp_path: Path
) -> Callable[[str], tuple[EngineGenerator, PreTrainedTokenizerBase]]:
    """A merged model with a first token or without, and the GGUF file made of it, in a template."""

    def make(template: str) -> tuple[EngineGenerator, PreTrainedTokenizerBase]:
        folder = Path(shutil.copytree(variants["merged"].path, tmp_path / "merged"))
        (folder / "artifact.json").unlink()
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps(config | {"bos_token": request.param}))
        (folder / "chat_template.jinja").write_text(template)
        merged = identify(folder)
        gguf = export_gguf(merged, tmp_path / "model.gguf", "f32")
        return load_llama(gguf, batch_size=1, threads=1, device="cpu"), load_tokenizer(merged)

    return make


@pytest.mark.parametrize("template", [LLAMA_3, MISTRAL, PLAIN], ids=["llama", "mistral", "plain"])
def test_a_gguf_file_is_asked_what_the_merged_model_is_asked(both: Any, template: str) -> None:
    from jinja2.exceptions import TemplateError

    generator, tokenizer = both(template)
    try:
        for chat in (
            [{"role": "user", "content": "1 < 2 & é 'x'"}],
            [{"role": r, "content": f" {r}\n"} for r in ("user", "assistant", "user")],
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        ):
            try:
                wanted = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            except TemplateError as error:
                with pytest.raises(BadInputError, match=re.escape(str(error))):
                    generator.render_chat(chat)
                continue
            assert generator.render_chat(chat) == wanted
            assert generator.encode(wanted) == tokenizer.encode(wanted, add_special_tokens=False)
            if tokenizer.bos_token is not None:
                assert generator.encode(wanted)[0] == tokenizer.bos_token_id
    finally:
        generator.close()


def test_a_template_that_breaks_is_told() -> None:
    for template in ("{{ messages[9].content }}", "{{ messages[0].content + 1 }}", "{% if %}"):
        with pytest.raises(BadInputError, match="chat template cannot be rendered"):
            render(template, [{"role": "user", "content": "hi"}], {})
