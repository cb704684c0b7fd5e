# expect: error
x = "\0"; exec("\0")
