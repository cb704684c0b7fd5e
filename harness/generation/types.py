"""The inputs and outputs of generation: Request, Sampling, Sample, and the Generator protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one completion.

    `seed` fixes its random draws, in any batch. `adapter` names the one that answers where a generator holds several;
    it is empty where there is no choice.
    """

    problem_id: str
    index: int
    prompt: str
    seed: int
    adapter: str = ""


@dataclass(frozen=True, slots=True)
class Sampling:
    """The settings of decoding: `temperature` 0 is greedy; `stop` strings end a completion and are cut from it."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 512
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion.

    `token_ids` are the generated ids without the end-of-turn token, which is `end_id` where the model drew one.
    `counted` is false where a server does not report the number of its tokens; there are no ids then.
    """

    problem_id: str
    index: int
    seed: int
    prompt: str
    completion: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    end_id: int | None = None
    counted: bool = True


class Generator(Protocol):
    """A loaded model that answers requests.

    A prompt is one string, tokenised as it stands: special tokens written in it are parsed as such, and none is added.
    """

    def render_chat(self, messages: list[dict[str, str]]) -> str:
        """Render `messages` by the model's own chat template, with the generation prompt appended."""

    def encode(self, text: str) -> list[int]: ...

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Sample]:
        """Yield samples as they are ready, in any order; each request is answered exactly once."""

    def close(self) -> None: ...
