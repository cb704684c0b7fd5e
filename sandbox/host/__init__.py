"""The side of the sandbox that runs outside the cell: scheduling, backends, isolation, verdicts."""
