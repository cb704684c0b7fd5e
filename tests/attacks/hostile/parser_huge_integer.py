# expect: error
x = eval("1" * 10_000_000)
