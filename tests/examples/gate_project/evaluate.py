"""Ask the model 300 questions and write a CSV: model, problem, passed."""

import csv
import sys

from answers import answer


def main(path: str) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("model", "problem", "passed"))
        for i in range(300):
            a, b, operation = 37 * i % 100, 61 * i % 101, "+-*"[i % 3]
            right = {"+": a + b, "-": a - b, "*": a * b}[operation]
            writer.writerow(("calculator", f"question-{i:03}", answer(a, operation, b) == right))


if __name__ == "__main__":
    main(sys.argv[1])
