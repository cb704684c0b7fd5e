# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import os, shutil, tempfile, unittest
# check: from collections import Counter
# check: class TestCases(unittest.TestCase):
# check:     def setUp(self):
# check:         self.folder = tempfile.mkdtemp()
# check:         for name, rows in (("a.csv", "k\nx\ny\n"), ("b.csv", "k\nx\n"), ("c.txt", "k\nx\n")):
# check:             with open(os.path.join(self.folder, name), "w") as file:
# check:                 file.write(rows)
# check:     def tearDown(self):
# check:         shutil.rmtree(self.folder)
# check:     def test_counts(self):
# check:         self.assertEqual(task_func(self.folder, "k"), Counter({"x": 2, "y": 1}))
# check:     def test_result_type(self):
# check:         self.assertIsInstance(task_func(self.folder, "k"), Counter)
# check:     def test_no_files(self):
# check:         empty = tempfile.mkdtemp()
# check:         with self.assertRaises(FileNotFoundError):
# check:             task_func(empty, "k")
# check: _result = unittest.TestResult()
# check: unittest.defaultTestLoader.loadTestsFromTestCase(TestCases).run(_result)
# check: assert _result.testsRun, "no test ran"
# check: assert _result.wasSuccessful(), "\n".join(text for _, text in _result.failures + _result.errors)
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
