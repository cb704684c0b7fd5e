"""oneDNN's cache is bounded, unless the user says otherwise."""

from __future__ import annotations

import os

import pytest

from assay.trainers.run.runtime import bound_compiled_products

NAME = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"


def test_the_users_choice_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "7")
    bound_compiled_products()
    assert os.environ[NAME] == "7"
    monkeypatch.delenv(NAME)
    bound_compiled_products()
    assert os.environ[NAME] == "64"
