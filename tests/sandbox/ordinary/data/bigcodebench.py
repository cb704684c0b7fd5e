#== problem: test_cases_with_a_folder task_func
#== right
import csv
import os
from collections import Counter
def task_func(folder, column):
    counts = Counter()
    for name in sorted(os.listdir(folder)):
        if name.endswith(".csv"):
            with open(os.path.join(folder, name), newline="") as file:
                counts.update(row[column] for row in csv.DictReader(file))
    if not counts:
        raise FileNotFoundError(f"no csv in {folder}")
    return counts
#== wrong
from collections import Counter
def task_func(folder, column):
    return Counter()
#== check
import os, shutil, tempfile, unittest
from collections import Counter
class TestCases(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        for name, rows in (("a.csv", "k\nx\ny\n"), ("b.csv", "k\nx\n"), ("c.txt", "k\nx\n")):
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(rows)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def test_counts(self):
        self.assertEqual(task_func(self.folder, "k"), Counter({"x": 2, "y": 1}))

    def test_result_type(self):
        self.assertIsInstance(task_func(self.folder, "k"), Counter)

    def test_no_files(self):
        empty = tempfile.mkdtemp()
        with self.assertRaises(FileNotFoundError):
            task_func(empty, "k")
#== run

#== problem: test_cases_with_mocks task_func
#== right
import json
import urllib.request
def task_func(url, key):
    with urllib.request.urlopen(url) as response:
        data = json.loads(response.read())
    if key not in data:
        raise KeyError(key)
    return sorted(data[key])
#== wrong
def task_func(url, key):
    return []
#== check
import unittest
from unittest.mock import MagicMock, patch
class TestCases(unittest.TestCase):
    @patch("urllib.request.urlopen")
    def test_sorted(self, fake):
        fake.return_value.__enter__.return_value.read.return_value = b'{"v": [3, 1, 2]}'
        self.assertEqual(task_func("http://example.org", "v"), [1, 2, 3])
        fake.assert_called_once_with("http://example.org")

    @patch("urllib.request.urlopen")
    def test_missing(self, fake):
        fake.return_value.__enter__.return_value.read.return_value = b"{}"
        with self.assertRaises(KeyError):
            task_func("http://example.org", "v")
#== run

#== problem: test_cases_with_seeds task_func
#== right
import random
import statistics
def task_func(n, seed=None):
    if n < 1:
        raise ValueError("n must be positive")
    if seed is not None:
        random.seed(seed)
    values = [random.gauss(0, 1) for _ in range(n)]
    return {"mean": statistics.fmean(values), "values": values}
#== wrong
def task_func(n, seed=None):
    return {"mean": 0.0, "values": [0.0] * n}
#== check
import random
import unittest
class TestCases(unittest.TestCase):
    def test_reproducible(self):
        self.assertEqual(task_func(5, seed=1), task_func(5, seed=1))
        self.assertNotEqual(task_func(5, seed=1)["values"], task_func(5, seed=2)["values"])

    def test_against_random(self):
        generator = random.Random(3)
        expected = [generator.gauss(0, 1) for _ in range(4)]
        result = task_func(4, seed=3)
        self.assertListEqual(result["values"], expected)
        self.assertAlmostEqual(result["mean"], sum(expected) / 4)

    def test_structure(self):
        result = task_func(2)
        self.assertIsInstance(result, dict)
        self.assertEqual(set(result), {"mean", "values"})

    def test_invalid(self):
        self.assertRaises(ValueError, task_func, 0)
#== run

#== problem: test_cases_of_printing task_func
#== right
def task_func(items, width=10):
    total = 0
    for name, value in items:
        print(f"{name:<{width}}{value:>6.2f}")
        total += value
    print("=" * (width + 6))
    return round(total, 2)
#== wrong
def task_func(items, width=10):
    return round(sum(value for _, value in items), 2)
#== check
import io
import unittest
from contextlib import redirect_stdout
from unittest.mock import patch
class TestCases(unittest.TestCase):
    def test_output(self):
        out = io.StringIO()
        with redirect_stdout(out):
            total = task_func([("tea", 2.5), ("cup", 10)])
        self.assertEqual(total, 12.5)
        lines = out.getvalue().splitlines()
        self.assertEqual(lines[0], "tea         2.50")
        self.assertEqual(lines[-1], "=" * 16)

    @patch("sys.stdout", new_callable=io.StringIO)
    def test_empty(self, out):
        self.assertEqual(task_func([], width=2), 0)
        self.assertEqual(out.getvalue(), "========\n")
#== run

#== problem: test_cases_of_a_subprocess task_func
#== right
import subprocess
import sys
def task_func(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.returncode, done.stdout.strip()
#== wrong
def task_func(code):
    return 0, ""
#== check
import unittest
class TestCases(unittest.TestCase):
    def test_output(self):
        self.assertEqual(task_func("print(6 * 7)"), (0, "42"))

    def test_exit(self):
        self.assertEqual(task_func("raise SystemExit(3)")[0], 3)
#== run

#== problem: test_cases_of_a_generator task_func
#== right
import re
def task_func(text, pattern=r"\w+"):
    return (match.group().lower() for match in re.finditer(pattern, text))
#== wrong
def task_func(text, pattern=r"\w+"):
    return iter(text.lower().split())
#== check
import types
import unittest
class TestCases(unittest.TestCase):
    def test_words(self):
        self.assertEqual(list(task_func("Hi, you! Hi")), ["hi", "you", "hi"])

    def test_type(self):
        self.assertIsInstance(task_func("a"), types.GeneratorType)

    def test_lazy(self):
        words = task_func("one two")
        self.assertEqual(next(words), "one")
        self.assertEqual(next(words), "two")
        with self.assertRaises(StopIteration):
            next(words)
#== run
