"""The key goes where the user said: typed, named beside it or the vendor's own, and in plain HTTP to loopback alone."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.errors import BadInputError, exit_code_of
from assay.harness.models import keys
from assay.harness.models.resolve import Endpoint, RefusedError, models_of, resolve_endpoint
from assay.harness.profiling.load.client import Limits, ask
from assay.harness.training.file import load_job
from tests.strangers import Asked, model_of, stranger

ROOT = Path(__file__).parents[3]
KEY = "sk-secret-of-the-user"
BEARER = f"Bearer {KEY}"
EVIL = "https://evil.example/v1"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_MODEL", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    keys.note_typed(())


# (address, what was typed on the command line, OPENAI_BASE_URL)
SENT = [
    ("https://api.openai.com/v1", [], ""),
    ("https://API.openai.com:443/v1/", [], ""),
    (EVIL, ["eval", EVIL, "--suite", "pocket"], ""),
    (EVIL, ["eval", EVIL + "/"], ""),
    (EVIL, ["profile", f"--model={EVIL}"], ""),
    (EVIL, [], EVIL),
    (EVIL, [], f"https://other.example/v1, {EVIL}/"),
    ("http://127.0.0.1:8000/v1", ["eval", "http://127.0.0.1:8000/v1"], ""),
    ("http://localhost:8000/v1", [], "http://localhost:8000/v1"),
    ("http://[::1]:8000/v1", [], "http://[::1]:8000/v1"),
]
KEPT = [
    (EVIL, [], ""),
    ("http://127.0.0.1:8000/v1", [], ""),  # a file's loopback may be another user's port
    ("http://api.openai.com/v1", [], ""),
    ("https://api.openai.com.evil.example/v1", [], ""),
    ("https://api.openai.com:8443/v1", [], ""),
    ("https://evil.example/api.openai.com/v1", [], ""),
    (EVIL, ["eval", "https://good.example/v1", "--suite", "pocket"], ""),
    (EVIL, ["generate", "pocket", "-p", f"what is {EVIL} ?"], ""),
    (EVIL, ["eval", "http://evil.example/v1"], ""),
    (EVIL, ["eval", "https://evil.example:444/v1"], ""),
    ("https://gateway.example/v1/evil", ["eval", "https://gateway.example/v1/mine"], ""),
    ("https://gateway.example/v1/mine/../evil", ["eval", "https://gateway.example/v1/mine"], ""),
    ("http://gpu-box:8000/v1", ["eval", "http://gpu-box:8000/v1"], ""),
    ("http://10.0.0.7:8000/v1", [], "http://10.0.0.7:8000/v1"),
    ("http://127.0.0.1.evil.example/v1", [], "http://127.0.0.1.evil.example/v1"),
    ("http://localhost.evil.example/v1", [], "http://localhost.evil.example/v1"),
    ("http://0.0.0.0:8000/v1", [], "http://0.0.0.0:8000/v1"),
    (EVIL, [], "evil.example"),
    (EVIL, [], "https://"),
]
NO_ADDRESS = [
    "https://user:word@evil.example/v1",
    "https://api.openai.com@evil.example/v1",
    "https://evil.example\\@api.openai.com/v1",
    "https://evil.example\\.api.openai.com/v1",
    "https://аpi.openai.com/v1",
    "https://evil.example:99999/v1",
    "https://evil.example:x/v1",
    "https:///v1",
    "https://evil.example/v1\x1b]0;title\x07",
    "https://evil.example/\u202ev1",
    "https://[::1",
    "https://evil.example//../v1|",
]


@pytest.mark.parametrize(("address", "typed", "named"), SENT)
def test_a_key_goes_where_the_user_said(
    address: str, typed: list[str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.note_typed(typed)
    monkeypatch.setenv("OPENAI_BASE_URL", named)
    assert keys.headers(address) == {"Authorization": BEARER}
    monkeypatch.setenv("OPENAI_API_KEY", " ")
    assert keys.headers(address) == {}


@pytest.mark.parametrize(("address", "typed", "named"), KEPT)
def test_a_key_goes_nowhere_else_and_that_is_said_once(
    address: str, typed: list[str], named: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(keys, "_reported", set())
    keys.note_typed(typed)
    monkeypatch.setenv("OPENAI_BASE_URL", named)
    assert keys.headers(address) == keys.headers(address) == {}
    said = capsys.readouterr().err
    assert said.count(f"OPENAI_API_KEY is not sent to {address}: ") == 1
    assert KEY not in said


@pytest.mark.parametrize("address", NO_ADDRESS)
def test_an_address_that_could_be_misread_is_none(address: str) -> None:
    keys.note_typed(["eval", address])
    with pytest.raises(BadInputError) as refused:
        resolve_endpoint(address)
    assert str(refused.value).isprintable()
    with pytest.raises(BadInputError):
        keys.headers(address)


@pytest.mark.parametrize("key", ["sk-ключ", "sk-a\nX-Other: b", "sk-\x00"])
def test_a_key_that_no_header_holds_is_refused_and_not_shown(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.note_typed([EVIL])
    if "\x00" in key:
        monkeypatch.setattr(keys.os, "environ", {"OPENAI_API_KEY": key})
    else:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(BadInputError, match="not plain ASCII") as refused:
        keys.headers(EVIL)
    assert key not in str(refused.value)


def experiment(folder: Path, url: str) -> Path:
    file = folder / "strange.toml"
    file.write_text(
        f'name = "strange"\n[suite]\nname = "pocket"\nlimit = 1\n[score]\nreference = "m"\n'
        f'[[variant]]\nname = "m"\nmodel = "{url}"\n'
    )
    return file


def test_an_experiments_server_is_asked_without_the_key_and_a_typed_one_with_it(tmp_path: Path) -> None:
    results = ["--results", str(tmp_path / "runs"), "-q", "--allow-weak", "--json"]
    with stranger() as server:
        CliRunner().invoke(app, ["run", str(experiment(tmp_path, server.url)), *results])
        assert server.asked
        assert server.keys == set()
        CliRunner().invoke(app, ["eval", server.url, "--suite", "pocket", "--limit", "1", *results])
        assert server.keys == {BEARER}


def test_the_load_test_decides_by_the_same_rule() -> None:
    with stranger() as server:
        ask(Endpoint(server.url, "m"), {}, Limits())
        assert server.asked
        assert server.keys == set()
        keys.note_typed(["loadtest", server.url])
        ask(Endpoint(server.url, "m"), {}, Limits())
        assert server.keys == {BEARER}


def test_a_training_files_base_is_no_server_and_none_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with stranger() as server:
        file = tmp_path / "train.toml"
        file.write_text(f'base = "{server.url}"\n[data]\nsuite = "pocket"\nn = 4\n')
        with pytest.raises(BadInputError, match="a model behind a server cannot be trained"):
            load_job(file)
        assert server.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_neither_key_nor_prompt_along(status: int) -> None:
    with stranger() as second:

        def away(_: Asked) -> tuple[int, dict[str, str], Any]:
            return status, {"Location": second.url + "/models"}, {}

        with stranger(away) as first:
            keys.note_typed([first.url])
            with pytest.raises(RefusedError, match="a redirect is not followed"):
                models_of(first.url)
            assert first.keys == {BEARER}
        assert second.asked == []


def test_netrc_and_proxies_of_the_environment_get_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password of ~/.netrc is not for a server that a file names, and what goes to this machine passes no proxy."""
    (tmp_path / "netrc").write_text("default login user password word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with stranger() as proxy, stranger() as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        models_of(server.url)
        assert server.keys == set()
        keys.note_typed([server.url])
        models_of(server.url)
        assert server.keys == {BEARER}
        assert proxy.asked == []
        models_of("http://unknown.invalid/v1")
        assert len(proxy.asked) == 1
        assert proxy.keys == set()


def test_a_refusal_says_that_the_key_was_not_sent_and_why() -> None:
    with stranger(lambda _: (401, {}, {"error": {"message": "a key, please"}})) as server:
        with pytest.raises(RefusedError, match=r"OPENAI_API_KEY was not sent: .*OPENAI_BASE_URL") as refused:
            models_of(server.url)
        assert exit_code_of(refused.value) == 3
        keys.note_typed([server.url])
        with pytest.raises(RefusedError, match="the key is taken from OPENAI_API_KEY"):
            models_of(server.url)


def test_a_key_that_a_server_says_back_is_not_repeated() -> None:
    with stranger(lambda _: (400, {}, {"error": {"message": f"bad key {KEY}"}})) as server:
        keys.note_typed([server.url])
        with pytest.raises(RefusedError) as refused:
            models_of(server.url)
        assert KEY not in str(refused.value)
        assert KEY not in repr(ask(Endpoint(server.url, "m"), {}, Limits()))
        assert server.keys == {BEARER}


def test_one_module_reads_the_key() -> None:
    """Whoever asks a server takes its headers from there: nobody else reads the variable or writes the header."""
    readers = []
    for path in sorted((ROOT / "harness").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        if texts & {"OPENAI_API_KEY", "Authorization"}:
            readers.append(str(path.relative_to(ROOT)))
    assert readers == ["harness/models/keys.py"]


def test_the_reply_of_the_stranger_is_a_models() -> None:
    with stranger(model_of) as server:
        assert resolve_endpoint(server.url).recipe.startswith("m at ")
