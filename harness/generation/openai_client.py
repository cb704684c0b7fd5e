"""The backend for a model behind an OpenAI-compatible server: requests over HTTP, several at a time."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from queue import SimpleQueue
from typing import Any, Never

from assay.harness.errors import BadInputError, UnmeasuredError
from assay.harness.generation.batching import GenerationStats, check_sampling
from assay.harness.generation.types import FinishReason, Request, Sample, Sampling
from assay.harness.models.resolve import Endpoint, RefusedError, call, endpoint_of, first_choice
from assay.trainers.artifact import Artifact

UNKNOWN_ID = -1  # placeholder id: the server reports a number of tokens but no ids
# The values that turn a setting off, in the order tried: vLLM once took -1 for top_k and refused 0. A setting that is
# left out is not off: vLLM uses the model's generation_config.json, llama.cpp its own defaults (top_k 40, top_p 0.95,
# min_p 0.05).
_OFF: dict[str, tuple[float, ...]] = {
    "top_p": (1,),
    "top_k": (0, -1),
    "min_p": (0,),
    "repetition_penalty": (1,),
}
_OF_GREEDY = ("repetition_penalty",)  # the only one of them that changes a greedy answer
_REFUSALS = frozenset({400, 422})
_Answers = SimpleQueue[tuple[Sample, int] | BaseException]  # (a sample, its prompt's tokens), or the error


class OpenAIGenerator:
    """An endpoint behind the Generator protocol.

    The server renders chats by its own template: a rendered chat is its messages as JSON, and a prompt of that form is
    sent to /chat/completions, any other to /completions. `token_ids` are as many -1 as the server counts tokens; a
    sample whose answer has no `usage` is not `counted`. Every setting is sent, also one that is off; `backend` names
    those that the server refused, for which its own apply. (A server that accepts a setting and ignores it is not
    noticed.)
    """

    def __init__(self, artifact: Artifact, *, batch_size: int) -> None:
        self._endpoint: Endpoint = endpoint_of(artifact)
        self._at_once = batch_size
        self._chats: dict[str, list[dict[str, str]]] = {}
        self.stats = GenerationStats()
        self._refused: set[tuple[str, float]] = set()
        self._settling = threading.Lock()
        self.backend = self._described(Sampling())

    def render_chat(self, messages: list[dict[str, str]]) -> str:
        text = json.dumps({"messages": messages}, ensure_ascii=False)
        self._chats[text] = messages
        return text

    def encode(self, text: str) -> list[int]:
        self._no_weights("tokenise")

    @property
    def engine(self) -> Never:
        self._no_weights("be driven token by token")

    @property
    def vocabulary(self) -> Never:
        self._no_weights("tell its vocabulary")

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Sample]:
        """Yield samples as answers come, with `batch_size` requests under way.

        Raises BadInputError where the server refuses a request, UnmeasuredError where it keeps failing.
        """
        check_sampling(sampling)
        self.backend = self._described(sampling)
        source = iter(requests)
        resumed = time.monotonic()
        answers: _Answers = SimpleQueue()
        running = 0
        while True:
            for request in islice(source, self._at_once - running):
                self._begin(request, sampling, answers)
                running += 1
            if not running:
                return
            answer = answers.get()
            running -= 1
            if isinstance(answer, BaseException):
                raise answer
            sample, prompt_tokens = answer
            self.stats.samples += 1
            self.stats.new_tokens += len(sample.token_ids)
            self.stats.prompt_tokens += prompt_tokens
            self.stats.seconds += time.monotonic() - resumed
            yield sample
            resumed = time.monotonic()

    def close(self) -> None:
        """Do nothing: no resource is open between requests."""

    def _begin(self, request: Request, sampling: Sampling, answers: _Answers) -> None:
        """Send the request in a daemon thread.

        The interpreter waits for a pool's threads when it exits, so that Ctrl-C would not end the process before a
        silent server's time is up.
        """

        def work() -> None:
            try:
                answers.put(self._ask(request, sampling))
            except BaseException as error:
                answers.put(error)

        threading.Thread(target=work, name="assay-endpoint", daemon=True).start()

    def _ask(self, request: Request, sampling: Sampling) -> tuple[Sample, int]:
        messages = self._chats.get(request.prompt)
        body: dict[str, Any] = {
            "model": self._endpoint.model,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "seed": request.seed,
        }
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if messages is None:
            choice, usage = self._call("completions", body | {"prompt": request.prompt}, sampling)
            text = choice.get("text")
        else:
            choice, usage = self._call("chat/completions", body | {"messages": messages}, sampling)
            message = choice.get("message")
            text = message.get("content") if isinstance(message, dict) else None
        if not isinstance(text, str | None):
            raise UnmeasuredError(f"{request.problem_id}: the server's answer is no text but {text!r:.100}")
        written = _tokens(usage.get("completion_tokens"), most=sampling.max_new_tokens)
        sample = Sample(
            problem_id=request.problem_id,
            index=request.index,
            seed=request.seed,
            prompt=request.prompt,
            completion=cut(str(text or ""), sampling.stop),
            token_ids=(UNKNOWN_ID,) * (written or 0),
            finish_reason=_finish(choice.get("finish_reason"), request.problem_id),
            counted=written is not None,
        )
        return sample, _tokens(usage.get("prompt_tokens")) or 0

    def _call(
        self, path: str, body: dict[str, Any], sampling: Sampling
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the first choice and usage; a setting that is off is left out once the server refuses it by name."""
        while True:
            settings = self._settings(sampling)
            try:
                answer = call(self._endpoint.url, "POST", path, body | settings)
            except RefusedError as error:
                if not self._yield_to(error, settings, sampling):
                    raise
                continue
            usage = answer.get("usage")
            return first_choice(answer), usage if isinstance(usage, dict) else {}

    def _settings(self, sampling: Sampling) -> dict[str, float]:
        """Return the settings to send: those that are on, and those that are off by the first value not refused."""
        settings = _settings_on(sampling)
        for name in _OFF.keys() - settings.keys():
            left = [value for value in _OFF[name] if (name, value) not in self._refused]
            if left:
                settings[name] = left[0]
        return settings

    def _yield_to(self, error: RefusedError, settings: dict[str, float], sampling: Sampling) -> bool:
        """Return whether the server named settings that are off, so that the request may be sent without them."""
        if error.status not in _REFUSALS:
            return False
        free = settings.keys() - _settings_on(sampling).keys()
        named = {name for name in free if re.search(rf"\b{name}\b", error.answer)}
        with self._settling:
            self._refused |= {(name, settings[name]) for name in named}
            self.backend = self._described(sampling)
        return bool(named)

    def _described(self, sampling: Sampling) -> str:
        sent = self._settings(sampling)
        own = [n for n in _OFF if n not in sent and (sampling.temperature > 0 or n in _OF_GREEDY)]
        notes = "".join(f"; it refused {name}: the server's own {name} applies" for name in own)
        return f"OpenAI-compatible server at {self._endpoint.url}, {self._at_once} requests at a time{notes}"

    def _no_weights(self, what: str) -> Never:
        raise BadInputError(
            f"a model behind a server cannot {what}: {self._endpoint.url} gives texts only; name its files instead"
        )


def _settings_on(sampling: Sampling) -> dict[str, float]:
    """Return the settings that are on, which a server may not refuse."""
    top_p: dict[str, float] = {"top_p": sampling.top_p} if sampling.top_p < 1 else {}
    return top_p | ({"top_k": sampling.top_k} if sampling.top_k else {})


def _tokens(value: Any, most: int = 1 << 32) -> int | None:
    """Return a number of tokens that a server states; None for what can be none, as more than were asked for."""
    plain = isinstance(value, int) and not isinstance(value, bool)
    return value if plain and 0 <= value <= most else None


def cut(text: str, stop: tuple[str, ...]) -> str:
    """Return the text before the earliest stop string: some servers honour only a few of them."""
    return text[: min((at for s in stop if (at := text.find(s)) >= 0), default=len(text))]


def _finish(reason: Any, problem_id: str) -> FinishReason:
    if reason == "stop" or reason == "length":
        return reason  # type: ignore[no-any-return]
    raise UnmeasuredError(
        f"{problem_id}: the server ended its answer with {reason!r}, which is neither stop nor length"
    )
