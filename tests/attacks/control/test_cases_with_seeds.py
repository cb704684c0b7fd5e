# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import random
# check: import unittest
# check: class TestCases(unittest.TestCase):
# check:     def test_reproducible(self):
# check:         self.assertEqual(task_func(5, seed=1), task_func(5, seed=1))
# check:         self.assertNotEqual(task_func(5, seed=1)["values"], task_func(5, seed=2)["values"])
# check:     def test_against_random(self):
# check:         generator = random.Random(3)
# check:         expected = [generator.gauss(0, 1) for _ in range(4)]
# check:         result = task_func(4, seed=3)
# check:         self.assertListEqual(result["values"], expected)
# check:         self.assertAlmostEqual(result["mean"], sum(expected) / 4)
# check:     def test_structure(self):
# check:         result = task_func(2)
# check:         self.assertIsInstance(result, dict)
# check:         self.assertEqual(set(result), {"mean", "values"})
# check:     def test_invalid(self):
# check:         self.assertRaises(ValueError, task_func, 0)
# check: _result = unittest.TestResult()
# check: unittest.defaultTestLoader.loadTestsFromTestCase(TestCases).run(_result)
# check: assert _result.testsRun, "no test ran"
# check: assert _result.wasSuccessful(), "\n".join(text for _, text in _result.failures + _result.errors)
import random
import statistics
def task_func(n, seed=None):
    if n < 1:
        raise ValueError("n must be positive")
    if seed is not None:
        random.seed(seed)
    values = [random.gauss(0, 1) for _ in range(n)]
    return {"mean": statistics.fmean(values), "values": values}
