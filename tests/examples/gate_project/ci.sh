#!/bin/sh
# The steps of CI. The first that does not hold ends it, with the gate's exit code: 1 a regression, 2 undecided.
set -eu
python evaluate.py results.csv
assay gate results.csv --baseline baseline.json --junit gate.xml
python -m pytest -q
