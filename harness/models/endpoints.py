"""A model behind an OpenAI-compatible server (vLLM, llama.cpp, Ollama, `assay serve`), as an Artifact.

`http://host:port/v1` is what a user types; the model's name and the key come from the environment (OPENAI_MODEL,
OPENAI_API_KEY), never from a file or a command line. The key is never stored. What answers may change behind one
address, so the artifact's hash covers what the server says of itself: the weights' sha256, where it gives one (`assay
serve` does), and otherwise its greedy answer to a fixed question.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.harness.errors import BadInputError, UnmeasuredError
from assay.trainers.artifact import Artifact, ArtifactKind

MODEL_VARIABLE = "OPENAI_MODEL"
KEY_VARIABLE = "OPENAI_API_KEY"
ADDRESS = re.compile(r"^https?://[^\s#?]+$")
_PROBE = "Write a Python function that returns the sum of the squares of a list of numbers."
_PROBE_TOKENS = 32
TRIES = 5
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_CONNECT_S, _READ_S = 10.0, 600.0


class RefusedError(BadInputError):
    """The server refuses a request as it is. `said` is its whole answer, which may name what it does not take."""

    def __init__(self, message: str, status: int, said: str) -> None:
        super().__init__(message)
        self.status, self.said = status, said


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model answers, and by which name."""

    url: str
    model: str

    @property
    def path(self) -> Path:
        """As an artifact's path: no file is there, but it names the endpoint."""
        return Path(f"{self.url}#{self.model}")


def endpoint_of(artifact: Artifact) -> Endpoint:
    """The endpoint that an artifact of that kind stands for."""
    url, _, model = str(artifact.path).partition("#")
    return Endpoint(re.sub(r"^(https?):/+", r"\1://", url), model)


def resolve_endpoint(address: str) -> Artifact:
    """The model that the server at `address` serves. BadInputError: no server there, no such model, or several and
    none named; UnmeasuredError: it answers nothing of use."""
    url = address.rstrip("/")
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise BadInputError(
            f"an address with a name and password in it would stand in every report; give the key in {KEY_VARIABLE}"
        )
    listed = models_of(url)
    endpoint = Endpoint(url, _chosen(url, [str(m.get("id")) for m in listed]))
    about = next(m for m in listed if str(m.get("id")) == endpoint.model)
    stated = about.get("sha256")
    if isinstance(stated, str) and stated:
        known = {"sha256": stated}
        recipe = f"{endpoint.model} at {url}, whose weights the server gives the sha256 {stated[:12]}… for"
    else:
        known = {"greedy": probe(endpoint)}
        recipe = f"{endpoint.model} at {url}; which weights is not known: the server gives no hash"
    identity = {"url": url, "model": endpoint.model} | known
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return Artifact(ArtifactKind.ENDPOINT, endpoint.path, digest, recipe=recipe)


def models_of(url: str) -> list[dict[str, Any]]:
    """What the server lists under /models."""
    try:
        listed = call(url, "GET", "models", tries=1).get("data")
    except UnmeasuredError as error:  # the first contact: most likely the address is wrong
        raise BadInputError(f"no OpenAI-compatible server answers at {url}: {error}") from error
    if not isinstance(listed, list) or not listed or not all(isinstance(m, dict) for m in listed):
        raise BadInputError(f"{url}/models lists no model: is this an OpenAI-compatible server?")
    return listed


def probe(endpoint: Endpoint) -> str:
    """The beginning of the model's greedy answer to a fixed question."""
    asked = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": _PROBE}],
        "temperature": 0,
        "max_tokens": _PROBE_TOKENS,
    }
    return str(first_choice(call(endpoint.url, "POST", "chat/completions", asked)).get("message"))


def first_choice(answer: dict[str, Any]) -> dict[str, Any]:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise UnmeasuredError(f"the server's answer has no choices: {json.dumps(answer)[:200]}")
    return choices[0]


def call(
    url: str, method: str, path: str, body: dict[str, Any] | None = None, *, tries: int = TRIES
) -> dict[str, Any]:
    """One request, tried again where the server is busy, failing or out of reach for a moment.

    RefusedError: it refuses the request, in the server's own words; UnmeasuredError: it kept failing.
    """
    import requests

    key = os.environ.get(KEY_VARIABLE, "").strip()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    target, last = f"{url}/{path}", ""
    for attempt in range(tries):
        if attempt:
            time.sleep(min(8.0, 0.25 * 2**attempt))
        try:
            response = requests.request(
                method, target, json=body, headers=headers, timeout=(_CONNECT_S, _READ_S)
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise BadInputError(f"{target} is no address: {error}") from error
        except requests.exceptions.RequestException as error:
            last = f"{type(error).__name__}"
            continue
        if response.ok:
            return _object(response, target)
        last = f"status {response.status_code}: {_reason(response)}"
        if response.status_code not in _RETRIED:
            told = f"{target} refused the request, {last}{_hint(response.status_code)}"
            raise RefusedError(told, response.status_code, response.text)
    raise UnmeasuredError(f"{target} did not answer in {tries} tries; last: {last}")


def _object(response: Any, target: str) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UnmeasuredError(
            f"{target} answered with something that is no JSON object: {response.text[:200]!r}"
        )
    return found


def _reason(response: Any) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return str(response.text[:200].strip() or response.reason)


def _hint(status: int) -> str:
    return f"; the key is taken from {KEY_VARIABLE}" if status in (401, 403) else ""


def _chosen(url: str, names: list[str]) -> str:
    wanted = os.environ.get(MODEL_VARIABLE, "").strip()
    if wanted:
        if wanted not in names:
            raise BadInputError(f"{MODEL_VARIABLE} is {wanted!r}, and {url} serves: {', '.join(names)}")
        return wanted
    if len(names) == 1:
        return names[0]
    raise BadInputError(f"{url} serves several models: set {MODEL_VARIABLE} to one of {', '.join(names)}")
