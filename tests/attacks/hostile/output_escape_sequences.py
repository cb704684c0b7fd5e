# expect: error
print("\x1b[2J\x1b]0;owned\x07\x1b[8m\x9b31m" * 100, "\r\x08\x00\u202e" * 100)
raise ValueError("\x1b[2Jpassed\x1b]0;owned\x07")
