# expect: pass
# kind: 11
# modes: shared
# limits: cpu_s=5 wall_s=30
# check: from unittest.mock import mock_open, patch
# check: with patch("builtins.open", mock_open(read_data="a\nb\nc\n")) as fake:
# check:     assert count_lines("/data/x.txt") == 3
# check: fake.assert_called_once_with("/data/x.txt")
def count_lines(path):
    with open(path) as file:
        return sum(1 for _ in file)
