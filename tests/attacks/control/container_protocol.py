# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: inv = Inventory({"pear": 2, "apple": 5})
# check: assert inv["apple"] == 5
# check: inv["fig"] = 1
# check: assert "fig" in inv and "kiwi" not in inv
# check: assert len(inv) == 3
# check: assert list(inv) == ["apple", "fig", "pear"]
# check: del inv["fig"]
# check: assert len(inv) == 2
# check: try:
# check:     inv["pear"] = -1
# check:     assert False
# check: except ValueError as error:
# check:     assert error.args[0] == "negative count for pear"
# check: try:
# check:     inv["kiwi"]
# check: except KeyError as error:
# check:     assert error.args == ("kiwi",)
# check: else:
# check:     assert False
class Inventory:
    def __init__(self, items=()):
        self._items = dict(items)

    def __getitem__(self, name):
        return self._items[name]

    def __setitem__(self, name, count):
        if count < 0:
            raise ValueError(f"negative count for {name}")
        self._items[name] = count

    def __delitem__(self, name):
        del self._items[name]

    def __contains__(self, name):
        return name in self._items

    def __len__(self):
        return len(self._items)

    def __iter__(self):
        return iter(sorted(self._items))
