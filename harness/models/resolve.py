"""Resolve what a user calls a model to an Artifact: `pocket`, a path, a hub id or the address of a server.

A model behind an OpenAI-compatible server (vLLM, llama.cpp, Ollama, `assay serve`) is called `http://host:port/v1`; its
name and the key come from the environment (OPENAI_MODEL, OPENAI_API_KEY), never from a file or a command line. The key
is never stored, and `assay.harness.models.keys` decides which addresses get it. The model behind one address may
change, so the artifact's hash covers what the server gives of it: the weights' sha256 where there is one (`assay serve`
gives it), and otherwise its greedy answer to a fixed question.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from assay.harness.errors import BadInputError, UnmeasuredError, UnreachableError
from assay.harness.models.keys import (
    ADDRESS,
    KEY_VARIABLE,
    checked_address,
    headers,
    hide_key,
    is_loopback,
    withheld,
)
from assay.trainers.artifact import Artifact, ArtifactKind, identify
from assay.trainers.errors import ArtifactError

POCKET = "pocket"
POCKET_FOLDER = Path(str(files("assay.trainers.pocket"))) / "model"
HUB_ID = re.compile(r"^(hf://.*|[\w.-]+/[\w.-]+(@[\w./-]+)?)$")
MODEL_VARIABLE = "OPENAI_MODEL"
TRIES = 5
_PROBE = "Write a Python function that returns the sum of the squares of a list of numbers."
_PROBE_TOKENS = 32
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_CONNECT_S, _READ_S = 10.0, 600.0


def resolve_model(name: str) -> Artifact:
    """Return the model that a name stands for.

    It is `pocket` (the shipped model), a folder or `.gguf` file, a hub id `[hf://]org/name[@revision]`, or the address
    of an OpenAI-compatible server (`http://host:port/v1`). A path that exists wins over a hub id of the same spelling.
    Raises BadInputError, ArtifactError or MissingToolError.
    """
    if ADDRESS.match(name):
        return resolve_endpoint(name)
    if name == POCKET:
        return identify(POCKET_FOLDER)
    if Path(name).exists():
        return identify(Path(name).resolve())
    if HUB_ID.match(name):
        from assay.harness.models.hub.fetch import parse_name, snapshot

        return identify(snapshot(*parse_name(name)).folder)
    raise BadInputError(
        f"no model {name!r}: it is neither {POCKET!r}, nor a path that exists, nor a hub id (org/name[@revision])"
    )


def look_at_model(name: str) -> tuple[Artifact | None, str]:
    """Return the model that a name stands for as far as this machine alone knows it, and what was left out.

    A server is not asked. Of the hub only the local cache is read; where the model is not whole in it, there is none.
    Raises BadInputError, ArtifactError or MissingToolError.
    """
    if ADDRESS.match(name):
        return None, f"the server {checked_address(name)} was not asked (--online asks it)"
    if name == POCKET or Path(name).exists() or not HUB_ID.match(name):
        return resolve_model(name), ""
    from assay.harness.models.hub.fetch import parse_name, snapshot

    repository, revision = parse_name(name)
    try:
        local = snapshot(repository, revision, online=False)
    except UnreachableError:
        return None, f"{name} is not in the local cache, and the hub was not asked (--online fetches it)"
    at = f"the local cache, commit {local.commit[:12]}"
    return identify(local.folder), f"{name} was taken from {at}; the hub was not asked (--online asks it)"


def adapter_of(path: Path, base: Artifact) -> Artifact:
    """Return the adapter in `path`, which must have been trained on `base`. Raises BadInputError, ArtifactError.

    An adapter of other weights would merge without complaint, shapes being alike, and answer nonsense.
    """
    try:
        adapter = identify(path)
    except ArtifactError:
        adapter = identify(path, base=base)  # its base is not where it was, or was never on this machine
    if adapter.kind is not ArtifactKind.ADAPTER:
        raise BadInputError(f"{path} is of kind {adapter.kind}, not an adapter")
    parent = adapter.parent
    if parent is not None and parent.sha256 != base.sha256:
        raise BadInputError(
            f"{path} was trained on {parent.path} (sha256 {parent.sha256[:12]}), "
            f"not on {base.path} ({base.sha256[:12]}); give its own base"
        )
    return adapter


def describe_json(artifact: Artifact) -> dict[str, Any]:
    """Return an artifact with its descent, for a program."""
    return {
        "kind": artifact.kind.value,
        "path": str(artifact.path),
        "sha256": artifact.sha256,
        "recipe": artifact.recipe,
        "parents": [describe_json(parent) for parent in artifact.parents],
    }


class RefusedError(BadInputError):
    """The server refuses a request as it is; its full `answer` may name a setting that it does not take."""

    def __init__(self, message: str, status: int, answer: str) -> None:
        super().__init__(message)
        self.status, self.answer = status, answer


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a server, and the model's name there."""

    url: str
    model: str

    @property
    def path(self) -> Path:
        """The endpoint as an artifact's path, at which there is no file."""
        return Path(f"{self.url}#{self.model}")


def endpoint_of(artifact: Artifact) -> Endpoint:
    """Return the endpoint that an artifact of that kind stands for."""
    url, _, model = str(artifact.path).partition("#")
    return Endpoint(re.sub(r"^(https?):/+", r"\1://", url), model)


def resolve_endpoint(address: str) -> Artifact:
    """Return the model that the server at `address` serves.

    Raises BadInputError (no server there, no such model, or several and none named) and UnmeasuredError (no answer of
    use).
    """
    url = checked_address(address)
    listed = {str(model.get("id")): model for model in models_of(url)}
    endpoint = Endpoint(url, _chosen(url, list(listed)))
    stated = listed[endpoint.model].get("sha256")
    if isinstance(stated, str) and stated:
        known = {"sha256": stated}
        recipe = f"{endpoint.model} at {url}, whose weights the server gives the sha256 {stated[:12]}… for"
    else:
        known = {"greedy": probe(endpoint)}
        recipe = f"{endpoint.model} at {url}; which weights is not known: the server gives no hash"
    hashed = {"url": url, "model": endpoint.model} | known
    digest = hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()
    return Artifact(ArtifactKind.ENDPOINT, endpoint.path, digest, recipe=recipe)


def models_of(url: str) -> list[dict[str, Any]]:
    """Return what the server lists under /models."""
    try:
        listed = call(url, "GET", "models", tries=1).get("data")
    except UnmeasuredError as error:  # the first contact: most likely the address is wrong
        raise BadInputError(f"no OpenAI-compatible server answers at {url}: {error}") from error
    if not isinstance(listed, list) or not listed or not all(isinstance(m, dict) for m in listed):
        raise BadInputError(f"{url}/models lists no model: is this an OpenAI-compatible server?")
    return listed


def probe(endpoint: Endpoint) -> str:
    """Return the beginning of the model's greedy answer to a fixed question."""
    body = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": _PROBE}],
        "temperature": 0,
        "max_tokens": _PROBE_TOKENS,
    }
    return str(first_choice(call(endpoint.url, "POST", "chat/completions", body)).get("message"))


def first_choice(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the first choice of an answer. Raises UnmeasuredError where it has none."""
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise UnmeasuredError(f"the server's answer has no choices: {json.dumps(answer)[:200]}")
    return choices[0]


def call(
    url: str, method: str, path: str, body: dict[str, Any] | None = None, *, tries: int = TRIES
) -> dict[str, Any]:
    """Send one request and return the answer; it is tried again while the server is busy, failing or out of reach.

    A redirect is not followed: it leads where nobody sent the prompts. Raises RefusedError with the server's own words
    where it refuses the request, UnmeasuredError where it kept failing.
    """
    import requests

    target, last = f"{url}/{path}", ""
    for attempt in range(tries):
        if attempt:
            time.sleep(min(8.0, 0.25 * 2**attempt))
        try:
            response = _send(url, method, target, body)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise BadInputError(f"{target} is no address: {error}") from error
        except requests.exceptions.RequestException as error:
            last = f"{type(error).__name__}"
            continue
        if response.status_code < 300:
            return _object(response, target)
        last = f"status {response.status_code}: {_reason(response)}"
        if response.status_code not in _RETRIED:
            hint = _hint(url, response.status_code)
            message = f"{target} refused the request, {last}{hint}"
            raise RefusedError(message, response.status_code, response.text)
    raise UnmeasuredError(f"{target} did not answer in {tries} tries; last: {last}")


def _send(url: str, method: str, target: str, body: dict[str, Any] | None) -> Any:
    """Send the request once. What goes to this machine goes through no proxy; ~/.netrc gives nobody a password."""
    import requests

    bearer = headers(url)

    def authorize(request: Any) -> Any:
        request.headers.update(bearer)
        return request

    with requests.Session() as session:
        session.trust_env = not is_loopback(url)
        return session.request(
            method,
            target,
            json=body,
            auth=authorize,
            allow_redirects=False,
            timeout=(_CONNECT_S, _READ_S),
        )


def _hint(url: str, status: int) -> str:
    """Return what to do about a refusal, where it is known."""
    if 300 <= status < 400:
        return "; a redirect is not followed: give the address that it leads to"
    if status not in (401, 403):
        return ""
    reason = withheld(url) if os.environ.get(KEY_VARIABLE, "").strip() else ""
    return f"; {KEY_VARIABLE} was not sent: {reason}" if reason else f"; the key is taken from {KEY_VARIABLE}"


def _object(response: Any, target: str) -> dict[str, Any]:
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise UnmeasuredError(
            f"the answer of {target} is not a JSON object: {hide_key(response.text[:200])!r}"
        )
    return answer


def _reason(response: Any) -> str:
    try:
        text = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        text = str(response.text[:200].strip() or response.reason)
    return hide_key(text)


def _chosen(url: str, names: list[str]) -> str:
    model = os.environ.get(MODEL_VARIABLE, "").strip()
    if model and model not in names:
        raise BadInputError(f"{MODEL_VARIABLE} is {model!r}, and {url} serves: {', '.join(names)}")
    if model or len(names) == 1:
        return model or names[0]
    raise BadInputError(f"{url} serves several models: set {MODEL_VARIABLE} to one of {', '.join(names)}")
