# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: db = {"a": 1}
# check: with Transaction(db) as t:
# check:     t.set("b", 2)
# check: assert db == {"a": 1, "b": 2}
# check: with Transaction(db) as t:
# check:     t.set("a", 99)
# check:     raise ValueError("rolled back")
# check: assert db == {"a": 1, "b": 2}
# check: try:
# check:     with Transaction(db) as t:
# check:         t.set("c", 3)
# check:         raise KeyError("leaves")
# check: except KeyError:
# check:     pass
# check: assert "c" not in db
class Transaction:
    def __init__(self, data):
        self.data = data

    def __enter__(self):
        self.backup = dict(self.data)
        return self

    def set(self, key, value):
        self.data[key] = value

    def __exit__(self, kind, error, traceback):
        if kind is not None:
            self.data.clear()
            self.data.update(self.backup)
        return kind is not None and issubclass(kind, ValueError)
