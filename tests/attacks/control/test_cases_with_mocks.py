# expect: pass
# kind: 11
# modes: shared
# limits: cpu_s=5 wall_s=30
# check: import unittest
# check: from unittest.mock import MagicMock, patch
# check: class TestCases(unittest.TestCase):
# check:     @patch("urllib.request.urlopen")
# check:     def test_sorted(self, fake):
# check:         fake.return_value.__enter__.return_value.read.return_value = b'{"v": [3, 1, 2]}'
# check:         self.assertEqual(task_func("http://example.org", "v"), [1, 2, 3])
# check:         fake.assert_called_once_with("http://example.org")
# check:     @patch("urllib.request.urlopen")
# check:     def test_missing(self, fake):
# check:         fake.return_value.__enter__.return_value.read.return_value = b"{}"
# check:         with self.assertRaises(KeyError):
# check:             task_func("http://example.org", "v")
# check: _result = unittest.TestResult()
# check: unittest.defaultTestLoader.loadTestsFromTestCase(TestCases).run(_result)
# check: assert _result.testsRun, "no test ran"
# check: assert _result.wasSuccessful(), "\n".join(text for _, text in _result.failures + _result.errors)
import json
import urllib.request
def task_func(url, key):
    with urllib.request.urlopen(url) as response:
        data = json.loads(response.read())
    if key not in data:
        raise KeyError(key)
    return sorted(data[key])
