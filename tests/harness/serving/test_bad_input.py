"""What a server is sent that is no request: each is answered with its fault, in OpenAI's form, and counted."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from tests.harness.serving.conftest import NAME, Running

pytestmark = pytest.mark.train

HEAD = f'{{"model": "{NAME}", "max_tokens": 2, '
LONE = "\\ud800"  # as JSON writes it: half of a character


def counted(server: Running, path: str, status: int) -> int:
    text = requests.get(f"{server.url.removesuffix('/v1')}/metrics", timeout=300).text
    found = re.search(
        rf'^assay_http_responses_total{{path="{path}",status="{status}"}} (\d+)\.0$', text, re.MULTILINE
    )
    return int(found[1]) if found else 0


@pytest.mark.parametrize(
    ("path", "body", "message", "param"),
    [
        ("completions", HEAD + f'"prompt": "a{LONE}"}}', "half of a surrogate pair", "prompt"),
        ("completions", HEAD + f'"prompt": ["a", "{LONE}"]}}', "half of a surrogate pair", "prompt"),
        ("completions", HEAD + f'"prompt": "a", "stop": "{LONE}"}}', "half of a surrogate pair", "stop"),
        ("completions", HEAD + f'"prompt": "a", "{LONE}": 1}}', "half of a surrogate pair", None),
        ("completions", f'{{"model": "{LONE}", "prompt": "a"}}', "half of a surrogate pair", "model"),
        (
            "chat/completions",
            HEAD + f'"messages": [{{"role": "user", "content": "{LONE}"}}]}}',
            "half of a surrogate pair",
            "messages",
        ),
        ("completions", "[" * 100_000, "nested too deeply", None),
        ("completions", HEAD + f'"prompt": [{"9" * 5000}]}}', "the body is not JSON", None),
        ("completions", HEAD + f'"prompt": [{"9" * 400}]}}', "is not below the vocabulary", "prompt"),
        ("completions", HEAD + f'"prompt": "a", "seed": {"9" * 400}}}', "seed", "seed"),
        ("completions", HEAD + '"prompt": "a", "temperature": NaN}', "temperature", "temperature"),
        ("completions", '{"model": 1e999}', "model", "model"),
    ],
    ids=lambda value: str(value)[-24:],
)
def test_what_cannot_be_read_is_a_bad_request(
    server: Running, path: str, body: str, message: str, param: Any
) -> None:
    before = counted(server, f"/v1/{path}", 400)
    answer = requests.post(f"{server.url}/{path}", data=body, timeout=300)
    assert answer.status_code == 400, answer.text[:300]
    error = answer.json()["error"]
    assert message in error["message"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert counted(server, f"/v1/{path}", 400) == before + 1


def test_a_whole_pair_is_a_character(server: Running) -> None:
    answer = requests.post(
        f"{server.url}/completions", data=HEAD + '"prompt": "\\ud83d\\ude00"}', timeout=300
    )
    assert answer.status_code == 200, answer.text


def test_a_fault_of_ours_is_told_and_counted(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_text: str) -> tuple[int, ...]:
        raise OSError("the tokenizer is gone")

    monkeypatch.setattr(server.api.scheduler, "encode", broken)
    before = counted(server, "/v1/completions", 500)
    answer = requests.post(f"{server.url}/completions", data=HEAD + '"prompt": "a"}', timeout=300)
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert counted(server, "/v1/completions", 500) == before + 1
