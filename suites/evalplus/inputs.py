"""MBPP+ inputs as their functions want them: JSON has no tuples, sets or complex numbers, so the file lost them.

Which argument of which problem is what is EvalPlus' knowledge (evalplus/data/mbpp.py, `mbpp_deserialize_inputs`, the
same in releases 0.2.0 to 0.3.1); here it is a table of shapes, one for each way in which arguments are converted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Arguments = list[Any]
Convert = Callable[[Arguments], Arguments]


def _tuples(value: Any, depth: int) -> Any:
    """`value` with the lists at `depth` as tuples: 0 is the value itself."""
    return tuple(value) if depth == 0 else [_tuples(item, depth - 1) for item in value]


def _each(depth: int) -> Convert:
    return lambda arguments: [_tuples(argument, depth) for argument in arguments]


def _at(index: int, depth: int) -> Convert:
    def convert(arguments: Arguments) -> Arguments:
        return [_tuples(a, depth) if i == index else a for i, a in enumerate(arguments)]

    return convert


def _nested_pairs(arguments: Arguments) -> Arguments:
    return [tuple(tuple(item) for item in argument) for argument in arguments]


def _everything(value: Any) -> Any:
    return tuple(_everything(item) for item in value) if isinstance(value, list) else value


def _sets(arguments: Arguments) -> Arguments:
    return [[set(item) if isinstance(item, list) and item else {} for item in arguments[0]]]


def _mixed_tuple(arguments: Arguments) -> Arguments:
    return [tuple(tuple(item) if isinstance(item, list) else item for item in arguments[0])]


def _values(arguments: Arguments) -> Arguments:
    return [{key: tuple(value) for key, value in arguments[0].items()}, *arguments[1:]]


# Problems whose every argument is a tuple.
_LISTS_TO_TUPLES = (
    2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424,
    429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809,
)  # fmt: skip
_BY_SHAPE: tuple[tuple[Convert, tuple[int, ...]], ...] = (
    (_each(0), _LISTS_TO_TUPLES),
    (_each(1), (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780)),
    (_at(0, 1), (75, 413, 444, 753)),
    (_at(1, 0), (106, 750)),
    (_at(0, 0), (250, 307, 405, 446, 617, 720, 763, 808)),
    (_nested_pairs, (259, 401, 445)),
    (_mixed_tuple, (278,)),
    (_sets, (115,)),
    (lambda arguments: [float(arguments[0]), complex(arguments[1])], (124,)),
    (lambda arguments: [complex(arguments[0])], (252,)),
    (_values, (722,)),
    (lambda arguments: [_everything(a) for a in arguments], (580, 615, 791)),
)
_CONVERT = {number: convert for convert, numbers in _BY_SHAPE for number in numbers}


def mbpp_arguments(task_id: str, arguments: Arguments) -> Arguments:
    """One input of `task_id` ("Mbpp/2") with its real types. Raises TypeError or ValueError where it does not fit."""
    convert = _CONVERT.get(int(task_id.partition("/")[2]))
    return convert(arguments) if convert else arguments
