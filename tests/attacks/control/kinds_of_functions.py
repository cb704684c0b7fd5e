# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: import inspect
# check: assert inspect.isgeneratorfunction(tokens)
# check: assert not inspect.iscoroutinefunction(tokens)
# check: assert inspect.isfunction(tokens)
# check: assert list(tokens("a, b.")) == ["a", "b"]
def tokens(text):
    for token in text.split():
        yield token.strip(".,")
