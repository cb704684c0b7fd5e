# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: from unittest import mock
# check: with mock.patch("builtins.input", side_effect=["x", "41"]) as fake:
# check:     assert ask_age() == 41
# check: assert fake.call_count == 2
# check: fake.assert_called_with("Age? ")
def ask_age():
    while True:
        answer = input("Age? ")
        if answer.isdigit():
            return int(answer)
