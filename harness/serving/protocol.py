"""The part of OpenAI's HTTP interface that is served: requests as pydantic models, answers as plain objects.

https://platform.openai.com/docs/api-reference. What would change an answer and is not supported is refused by name,
never ignored; what cannot change it (user, store, metadata) is taken and left alone.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from assay.harness.generation.types import FinishReason

COMPLETION_TOKENS = 16  # OpenAI's default of /v1/completions
MAX_CHOICES = 128

Text = Annotated[str, Field(min_length=1)]


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    include_usage: bool = False


class ResponseFormat(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["text"]


class Common(BaseModel):
    """What both ways of asking share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None  # 0 is off, and so is -1, as vLLM has it
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    stop: Text | Annotated[list[Text], Field(max_length=64)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    # Known, and served at these values only.
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    min_p: Literal[0] | None = None
    repetition_penalty: Literal[1] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    # Cannot change the answer.
    user: str | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)


class CompletionRequest(Common):
    prompt: Any
    echo: Literal[False] | None = None
    logprobs: None = None
    suffix: Literal[""] | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _all_are_given(self) -> CompletionRequest:
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise ValueError("best_of is supported only where it equals n: every sample is given")
        return self

    @field_validator("prompt")
    @classmethod
    def _known_form(cls, value: Any) -> Any:
        if not as_prompts(value):
            raise ValueError("must be a text, token ids, or a list of either, none of them an empty list")
        return value

    @property
    def prompts(self) -> list[str | list[int]]:
        return as_prompts(self.prompt)


def as_prompts(value: Any) -> list[str | list[int]]:
    """The prompts of a request; an empty list where they have no known form."""
    if isinstance(value, str) or is_ids(value):
        return [value]
    if (
        isinstance(value, list)
        and value
        and (all(isinstance(v, str) for v in value) or all(map(is_ids, value)))
    ):
        return list(value)
    return []


def is_ids(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in value)
    )


class Part(BaseModel):
    """A piece of a message's content; text is all that is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["text"]
    text: str


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    name: str | None = None

    @property
    def turn(self) -> dict[str, str]:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class ChatRequest(Common):
    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: Literal[False] | None = None
    top_logprobs: Literal[0] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def completion_choice(index: int, text: str, finish: FinishReason | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


def chat_choice(index: int, text: str, finish: FinishReason | None) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": finish}


def chat_delta(index: int, text: str, finish: FinishReason | None, *, first: bool) -> dict[str, Any]:
    delta: dict[str, str] = {"role": "assistant"} if first else {}
    if text or first:
        delta["content"] = text
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


# Errors as OpenAI's interface tells them.


class ApiError(Exception):
    """An answer that is an error, in OpenAI's form."""

    def __init__(
        self, status: int, message: str, kind: str, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.code, self.param = status, message, kind, code, param

    def to_json(self) -> dict[str, Any]:
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}


def bad_request(message: str, code: str | None = None, param: str | None = None) -> ApiError:
    return ApiError(400, message, "invalid_request_error", code, param)


def client_gone() -> ApiError:
    return ApiError(499, "the client closed the connection", "client_closed_request")
