"""What every part of a `leaderboard.json` is read as.

Unknown keys are let through here, against the house rule, for one reason: a report must still be able to print
a run whose harness has since learned to measure more. The `schema` number says when the meaning has changed.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(allow_inf_nan=False)]


class Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)
