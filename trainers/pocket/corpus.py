"""The pre-training corpus: training problems with bodies that are wrong about a third of the time.

Code on the web is not all right, and some mistakes are commoner than the truth. So here: each operation has a
rate at which its slip is written instead (`HABITS`, else `STRAY`). Where that rate is above one half, the greedy
answer of a well-trained model is the mistake while sampling still finds the truth. That is the room which
fine-tuning, preferences and rewards need to show what they do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from suites.pocket.atoms import Atom, chance
from suites.pocket.problems import tasks


class Document(NamedTuple):
    """`prompt` is context, `body` what is to be learnt, up to and with the token that ends it."""

    prompt: str
    body: str
    wrong: bool


def documents(
    seed: int, habits: Mapping[str, float], stray: float, chat_share: float, render: tuple[str, str]
) -> Iterator[Document]:
    """Endless documents of the train split.

    An operation of key K is written wrongly with probability `habits[K]`, or `stray`. A share `chat_share` is
    rendered as a chat: `render` is what stands before and after the user's message; the rest are bare functions.
    """
    rng = random.Random(f"corpus-{seed}")

    def choose(a: Atom) -> str:
        return a.slip if chance(rng, habits.get(a.key, stray)) else a.code

    for task in tasks("train", seed):
        body = task.body(choose)
        wrong = body != task.body()
        if chance(rng, chat_share):
            yield Document(render[0] + task.instruction + render[1], body.rstrip("\n") + "<|im_end|>", wrong)
        else:
            yield Document(task.prompt, body + "<|endoftext|>", wrong)
