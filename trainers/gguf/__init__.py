"""Export to GGUF with the `gguf` package alone, and to K-quants with llama.cpp's own quantizer."""

from __future__ import annotations

from assay.trainers.gguf.adapter import export_adapter
from assay.trainers.gguf.write import QUANTIZATIONS, export_gguf

__all__ = ["QUANTIZATIONS", "export_adapter", "export_gguf"]
