"""`[config.alarm]`: when a run that has gone wrong is stopped. Torch-free."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class AlarmTable(BaseModel):
    """A loss that is no number always stops the run. `spikes = false` lets it jump.

    A spike is a logged loss above `spike_factor` times the median of the last `window` good ones, and at least
    `spike_margin` nats above it; `patience` of them in a row stop the run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    spikes: bool = True
    spike_factor: Annotated[float, Field(gt=1)] = 3.0
    spike_margin: Annotated[float, Field(ge=0)] = 1.0
    window: Annotated[int, Field(ge=1)] = 20
    patience: Annotated[int, Field(ge=1)] = 2
