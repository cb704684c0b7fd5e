# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: s = Stack()
# check: assert s.is_empty()
# check: s.push(1)
# check: s.push("two")
# check: assert len(s) == 2
# check: assert s.peek() == "two"
# check: assert s.pop() == "two"
# check: assert s.pop() == 1
# check: assert s.is_empty() is True
# check: try:
# check:     s.pop()
# check:     assert False, "IndexError expected"
# check: except IndexError as e:
# check:     assert "empty" in str(e)
# check: assert isinstance(s, Stack)
class Stack:
    def __init__(self):
        self._items = []

    def push(self, item):
        self._items.append(item)

    def pop(self):
        if not self._items:
            raise IndexError("pop from empty stack")
        return self._items.pop()

    def peek(self):
        return self._items[-1]

    def is_empty(self):
        return not self._items

    def __len__(self):
        return len(self._items)
