"""Export to GGUF with the `gguf` package alone, and to K-quants with llama.cpp's own quantizer."""

from __future__ import annotations

from trainers.gguf.export import QUANTIZATIONS, export_gguf

__all__ = ["QUANTIZATIONS", "export_gguf"]
