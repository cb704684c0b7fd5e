"""Chat templates: the tokenizer's own where it has one, else one of four published with their models.

Ours carry `{% generation %}` markers around what the assistant writes; what is saved with a trained model is the
published text without them, since only training libraries know them. A tokenizer's own template is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from assay.trainers.artifact import Artifact, ArtifactKind, model_folder
from assay.trainers.errors import ArtifactError, TrainingError
from assay.trainers.files import read_object
from assay.trainers.folder_checks import loading

__all__ = [
    "NAMES",
    "Template",
    "choose_template",
    "load_tokenizer",
    "render",
    "saved_template",
    "template_source",
]


# name -> the tokens that mark its turns; each must be one token of the vocabulary, or no model could end a turn.
_TOKENS: dict[str, tuple[str, ...]] = {
    "alpaca": (),
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "phi3": ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
    "llama3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
}
NAMES = tuple(_TOKENS)
_BOS = "{{- bos_token -}}"
_MARKER = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}\n?")


@dataclass(frozen=True, slots=True)
class Template:
    """A chat template. `source` is the Jinja text to render with. `native`: it is the tokenizer's own; another one is
    saved with the model as `saved`, the same text without generation markers."""

    name: str
    source: str
    native: bool

    @property
    def saved(self) -> str:
        return _MARKER.sub("", self.source)

    @property
    def marked(self) -> bool:
        """True where it marks itself which part is the assistant's."""
        return _MARKER.search(self.source) is not None


def choose_template(tokenizer: Any, name: str = "auto") -> Template:
    """Return the tokenizer's own template for "auto" and "native", one of NAMES otherwise.

    Where the tokenizer begins every text with a BOS of itself, a template that has none gets one, so that training
    and generation both see exactly one. Raises TrainingError: no template of its own, or it lacks the tokens of the one
    that was named.
    """
    if name in ("auto", "native"):
        own = tokenizer.get_chat_template() if tokenizer.chat_template else None
        if own is None:
            raise TrainingError(
                "this model's tokenizer has no chat template of its own; choose one with "
                f'template = "NAME": {", ".join(NAMES)} (alpaca needs no special tokens)'
            )
        return Template("native", own, native=True)
    vocabulary = tokenizer.get_vocab()
    if missing := [token for token in _TOKENS[name] if token not in vocabulary]:
        raise TrainingError(
            f"template {name!r} marks turns with {', '.join(missing)}, which this model's vocabulary lacks; "
            f"choose another: {', '.join(n for n in NAMES if n != name)} (alpaca needs no special tokens)"
        )
    source = template_source(name)
    if "eos_token" in source and tokenizer.eos_token is None:
        raise TrainingError(
            f"template {name!r} ends in the end of text, and this tokenizer names no eos_token"
        )
    if "bos_token" in source and tokenizer.bos_token is None:
        raise TrainingError(f"template {name!r} begins with a BOS, and this tokenizer names no bos_token")
    if "bos_token" not in source and _adds_bos(tokenizer):
        source = _BOS + source
    return Template(name, source, native=False)


def template_source(name: str) -> str:
    """Return the Jinja text of a template in NAMES, generation markers included."""
    return (files("assay.trainers.templates") / f"{name}.jinja").read_text(encoding="utf-8")


def _adds_bos(tokenizer: Any) -> bool:
    ids = tokenizer("a")["input_ids"]
    return bool(ids) and tokenizer.bos_token_id is not None and ids[0] == tokenizer.bos_token_id


def render(tokenizer: Any, chat: Sequence[Mapping[str, str]], *, answer_next: bool = False) -> str:
    """Return a chat as the model's template writes it; `answer_next` ends it where the assistant begins.

    A template is a program of the model's author: raises TrainingError where it fails, whatever it raises.
    """
    try:
        return str(tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=answer_next))
    except ImportError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error)[:200]!r}"
        raise TrainingError(
            f'this model\'s chat template fails on a chat ({reason}); use another model, or style = "completion"'
        ) from None


def load_tokenizer(artifact: Artifact) -> Any:
    """Return the tokenizer of a model folder, with the chat template that the model was trained with.

    An adapter's is its base's, with the template saved beside the adapter where there is one.
    """
    from transformers import AutoTokenizer

    folder = model_folder(artifact)
    with loading(folder, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        if not tokenizer("def")["input_ids"]:  # without its files transformers makes an empty one
            raise ArtifactError(
                f"{folder} holds no vocabulary: no token stands for text; put its tokenizer.json there"
            )
    if artifact.kind is ArtifactKind.ADAPTER and (own := saved_template(artifact.path)) is not None:
        tokenizer.chat_template = own
    return tokenizer


def saved_template(folder: Path) -> str | None:
    """Return the chat template saved in a model's or adapter's folder; None where there is none."""
    file, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if file.is_file():
        return file.read_text(encoding="utf-8", errors="replace")
    if config.is_file():
        template = read_object(config).get("chat_template")
        return template if isinstance(template, str) else None
    return None
