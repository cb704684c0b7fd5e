"""Fetch models from the Hugging Face Hub, and publish them on it."""

from __future__ import annotations

from assay.harness.models.hub.fetch import Imported, import_model, parse_name, snapshot
from assay.harness.models.hub.push import Push, plan_push, send

__all__ = ["Imported", "Push", "import_model", "parse_name", "plan_push", "send", "snapshot"]
