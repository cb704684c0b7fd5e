# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import io
# check: import unittest
# check: from contextlib import redirect_stdout
# check: from unittest.mock import patch
# check: class TestCases(unittest.TestCase):
# check:     def test_output(self):
# check:         out = io.StringIO()
# check:         with redirect_stdout(out):
# check:             total = task_func([("tea", 2.5), ("cup", 10)])
# check:         self.assertEqual(total, 12.5)
# check:         lines = out.getvalue().splitlines()
# check:         self.assertEqual(lines[0], "tea         2.50")
# check:         self.assertEqual(lines[-1], "=" * 16)
# check:     @patch("sys.stdout", new_callable=io.StringIO)
# check:     def test_empty(self, out):
# check:         self.assertEqual(task_func([], width=2), 0)
# check:         self.assertEqual(out.getvalue(), "========\n")
# check: _result = unittest.TestResult()
# check: unittest.defaultTestLoader.loadTestsFromTestCase(TestCases).run(_result)
# check: assert _result.testsRun, "no test ran"
# check: assert _result.wasSuccessful(), "\n".join(text for _, text in _result.failures + _result.errors)
def task_func(items, width=10):
    total = 0
    for name, value in items:
        print(f"{name:<{width}}{value:>6.2f}")
        total += value
    print("=" * (width + 6))
    return round(total, 2)
