"""Imports for the fork server of `assay.trainers.run.process`: libraries only, no model, no threads, no CUDA."""

from __future__ import annotations

from assay.trainers.run.runtime import quiet_libraries

try:
    with quiet_libraries():
        import peft  # noqa: F401
        import torch  # noqa: F401
        import trl  # noqa: F401
        from transformers import Qwen2ForCausalLM  # noqa: F401
        from trl import SFTTrainer  # noqa: F401
except ImportError:  # the child raises the error that names the missing package
    pass
