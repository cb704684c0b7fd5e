# expect: error
raise
