# expect: error
raise BaseException("x")
