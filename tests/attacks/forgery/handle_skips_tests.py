# expect: fail error timeout memory output
# check: import unittest
# check: class T(unittest.TestCase):
# check:     def test(self): self.assertEqual(f(1), 3)
# check: r = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(T))
# check: assert r.wasSuccessful()
# limits: cpu_s=2 wall_s=6
# kind: 10
# modes: split
import unittest
def f(x): raise unittest.SkipTest('not today')
