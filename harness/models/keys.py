"""Decide where the key of OpenAI-compatible servers may go: the one place that reads it.

An experiment or a training file may be a stranger's, and the address in it too. The key goes to an address that the
user typed on the command line, that stands beside the key in the environment (OPENAI_BASE_URL, or several of them with
spaces between), or that is the vendor's own; in plain HTTP only to this machine. An address without it is asked without
it, which is said once.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from assay.harness.errors import BadInputError

KEY_VARIABLE = "OPENAI_API_KEY"
BASE_VARIABLE = "OPENAI_BASE_URL"
VENDOR = "https://api.openai.com"
ADDRESS = re.compile(r"^https?://[^\s#?]+$")
# Stricter than URLs are: where two parsers could see two hosts (\, @, other alphabets), there is no address.
_PLAIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*)",
    re.ASCII,
)
_PORTS = {"http": "80", "https": "443"}

# One process has one command line: what was typed on it, and the addresses that were said to get no key.
_typed: set[str] = set()
_reported: set[str] = set()


def note_typed(arguments: Iterable[str]) -> None:
    """Take the arguments of the command line, whose addresses are the user's own word."""
    _typed.clear()
    for argument in arguments:
        value = argument.partition("=")[2] if argument.startswith("-") else argument
        if ADDRESS.match(value) and _PLAIN.fullmatch(value):
            _typed.add(_normal(value))


def checked_address(address: str) -> str:
    """Return a server's address without a slash at its end. Raises BadInputError for one that could be misread."""
    if "@" in address.partition("://")[2].partition("/")[0]:
        raise BadInputError(
            f"an address with a name and password in it would stand in every report; give the key in {KEY_VARIABLE}"
        )
    match = _PLAIN.fullmatch(address)
    if match is None or int(match["port"] or 1) > 65535:
        raise BadInputError(
            f"{address!r} is no address of a server: write http(s)://HOST[:PORT]/PATH in plain ASCII, a host in "
            "another alphabet in its xn-- form"
        )
    return address.rstrip("/")


def headers(url: str) -> dict[str, str]:
    """Return the headers that carry the key to `url`: none where there is no key, or where it may not go there."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        return {}
    if reason := withheld(url):
        if url not in _reported:
            _reported.add(url)
            print(f"assay: {KEY_VARIABLE} is not sent to {url}: {reason}", file=sys.stderr)
        return {}
    return {"Authorization": f"Bearer {_checked_key(key)}"}


def hide_key(text: str) -> str:
    """Return a text without the key: a server may say it back, and what it says stands in records and reports."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return text.replace(key, "***") if len(key) >= 8 else text


def withheld(url: str) -> str:
    """Return why a key may not go to `url`; empty where it may."""
    url = checked_address(url)
    named = {
        _normal(one)
        for one in re.split(r"[\s,]+", os.environ.get(BASE_VARIABLE, ""))
        if _PLAIN.fullmatch(one)
    }
    vendors = _origin(url) == _origin(VENDOR)
    if not vendors and _normal(url) not in _typed | named:
        return (
            "it was neither typed on the command line nor named beside the key; where it is meant to have the key, "
            f"set {BASE_VARIABLE} to it"
        )
    if url.lower().startswith("http:") and not is_loopback(url):
        return "plain HTTP would show it to the network; use https, or a tunnel to a port of this machine"
    return ""


def is_loopback(url: str) -> bool:
    """Return whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_key(key: str) -> str:
    """Return the key. Raises BadInputError for one that no header can hold, without showing it."""
    if not key.isascii() or not key.isprintable():
        raise BadInputError(
            f"the key in {KEY_VARIABLE} holds characters that are not plain ASCII: copy it again"
        )
    return key


def _normal(url: str) -> str:
    """Return a checked address in the one form that is compared: the path as it is written, without a last slash."""
    match = _PLAIN.fullmatch(url)
    assert match is not None, url
    return _origin(url) + match["path"].rstrip("/")


def _origin(url: str) -> str:
    match = _PLAIN.fullmatch(url)
    assert match is not None, url
    scheme = match["scheme"]
    return f"{scheme}://{match['host'].lower()}:{int(match['port'] or _PORTS[scheme])}"
