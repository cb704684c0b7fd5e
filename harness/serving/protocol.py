"""The served part of OpenAI's HTTP interface: bodies, requests as pydantic models, answers and errors as objects.

https://platform.openai.com/docs/api-reference. A field that would change an answer and is not supported is refused by
name, never ignored; a field that cannot change it (user, store, metadata) is accepted and has no effect.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from assay.harness.experiment.validation import explain
from assay.harness.generation.types import FinishReason

COMPLETION_TOKENS = 16  # OpenAI's default of /v1/completions
MAX_CHOICES = 128
MAX_DEPTH = 64  # of lists and objects within each other; a request of the API needs five

Text = Annotated[str, Field(min_length=1)]


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    include_usage: bool = False


class ResponseFormat(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["text"]


class Common(BaseModel):
    """The fields that both kinds of request share."""

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
        """The stop strings, in the order given."""
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
    """Return the prompts of a request, or an empty list where they have no known form."""
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
    """Return whether a value is a list of token ids, one at least."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in value)
    )


class Part(BaseModel):
    """A part of a message's content; only text is supported."""

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
        """The message as chat templates take it: a role and one text."""
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


M = TypeVar("M", bound=BaseModel)


def read_request(body: bytes, model: type[M]) -> M:
    """Return a request's body as `model`.

    Raises ApiError (400, with the field at fault as `param`) for a body that is not UTF-8 or not JSON, has a number too
    long to read, is nested too deeply, holds half of a surrogate pair (JSON can write one, `\\ud800`, but it is no
    character and no tokenizer takes it), or does not fit the model. Whatever a client sends is the client's fault,
    never the server's.
    """
    try:
        value = json.loads(body.decode("utf-8"))
    except RecursionError:
        raise bad_request(f"the body is nested too deeply; {MAX_DEPTH} levels are taken") from None
    except ValueError as error:  # also of the decoding, and of integers with more digits than Python reads
        raise bad_request(f"the body is not JSON: {error}") from None
    fields: dict[str | None, Any] = {None: list(value), **value} if isinstance(value, dict) else {None: value}
    for name, content in fields.items():
        _check_texts(content, name)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        location = error.errors()[0]["loc"]
        param = str(location[0]) if location else None
        raise bad_request(explain(error, model), param=param) from None


def _check_texts(value: Any, param: str | None) -> None:
    """Raise ApiError for a text with half of a surrogate pair, or a value that is nested too deeply.

    The value is walked level by level, for it may be deeper than Python recurses.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item, param)
            elif isinstance(item, list):
                below += item
            elif isinstance(item, dict):
                below += item.keys()
                below += item.values()
        if not below:
            return
        level = below
    where = "the body" if param is None else param
    raise bad_request(f"{where} is nested too deeply; {MAX_DEPTH} levels are taken", param=param)


def _check_text(text: str, param: str | None) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise bad_request(
            f"half of a surrogate pair, {text[error.start]!a}, stands at character {error.start} of a text; send whole "
            "characters",
            param=param,
        ) from None


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return OpenAI's count of tokens."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def completion_choice(index: int, text: str, finish: FinishReason | None) -> dict[str, Any]:
    """Return one choice of /v1/completions, whole or a piece of a stream."""
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


def chat_choice(index: int, text: str, finish: FinishReason | None) -> dict[str, Any]:
    """Return one choice of /v1/chat/completions."""
    message = {"role": "assistant", "content": text, "refusal": None}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": finish}


def chat_delta(index: int, text: str, finish: FinishReason | None, *, first: bool) -> dict[str, Any]:
    """Return one piece of a streamed chat; the first one names the role."""
    delta: dict[str, str] = {"role": "assistant"} if first else {}
    if text or first:
        delta["content"] = text
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


class ApiError(Exception):
    """An error as OpenAI's interface reports it: an HTTP status, a message, a type, a code and the field at fault."""

    def __init__(
        self, status: int, message: str, kind: str, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.code, self.param = status, message, kind, code, param

    def to_json(self) -> dict[str, Any]:
        """Return the body of the response."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}


def bad_request(message: str, code: str | None = None, param: str | None = None) -> ApiError:
    """Return the error for a request that cannot be served as it is."""
    return ApiError(400, message, "invalid_request_error", code, param)


def client_gone() -> ApiError:
    """Return the error for a client that closed the connection, which nobody reads."""
    return ApiError(499, "the client closed the connection", "client_closed_request")
