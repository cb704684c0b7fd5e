# expect: error
raise SystemExit
