"""`[config.quantization]`, `qat`, `layerwise` and `groups`: how the weights are kept, and how fast they move."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Rate = Annotated[float, Field(gt=0)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class QuantizationTable(_Table):
    """The frozen base's linear layers as bitsandbytes keeps them; an adapter is trained on top (QLoRA, Dettmers et
    al. 2023, arXiv 2305.14314).

    `nf4` and `fp4` are 4 bits in blocks of 64 with an fp32 scale each: 4.5 bits a parameter, or 4.127 with
    `double_quant`, which stores the scales in 8 bits. `int8` is LLM.int8 (Dettmers et al. 2022). `compute_dtype` is
    what weights are expanded to for a product; auto is the run's own arithmetic. `upcast_fp32` keeps what is not
    quantised (embedding, head, norms) in fp32 instead of the compute type: steadier, at twice the bytes.
    """

    type: Literal["nf4", "fp4", "int8"] = "nf4"
    double_quant: bool = True
    compute_dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    upcast_fp32: bool = True


class QatTable(_Table):
    """Quantisation-aware training: products see the weight rounded to `type`, the gradient passes as if it were not
    (straight-through estimator, Bengio et al. 2013, arXiv 1308.3432; Jacob et al. 2018, arXiv 1712.05877).

    `q4_0` and `q8_0` are GGUF's types in blocks of 32, bit for bit as the export writes a layer's matrix; `nf4` is
    bitsandbytes' in blocks of 64. Output head and embedding are not rounded.
    """

    type: Literal["q4_0", "q8_0", "nf4"] = "q4_0"


class LayerwiseTable(_Table):
    """Learning rate × decay^(distance from the top): the head has the whole rate, the embedding the least (Howard and
    Ruder 2018, arXiv 1801.06146)."""

    decay: Annotated[float, Field(gt=0, le=1)] = 0.9


class GroupsTable(_Table):
    """Learning rates of parts of the model; a part that is not named has `learning_rate`.

    `head` is the output projection or classifier with the final norm, `embedding` the embedding of tokens (and of
    positions, where it is learnt), `backbone` the layers between. Tied weights count as embedding.
    """

    embedding: Rate | None = None
    backbone: Rate | None = None
    head: Rate | None = None
