# expect: pass
# kind: 10
# modes: shared
# limits: cpu_s=5 wall_s=30
# check: assert Money(5, "EUR") == Money(5, "EUR")
# check: assert Money(5, "EUR") != Money(5, "USD")
# check: assert Money(1, "EUR") < Money(2, "EUR")
# check: assert max([Money(1, "EUR"), Money(9, "EUR"), Money(4, "EUR")]).amount == 9
# check: assert [m.amount for m in sorted([Money(3, "EUR"), Money(1, "EUR")])] == [1, 3]
# check: assert len({Money(1, "EUR"), Money(1, "EUR")}) == 1
import functools
@functools.total_ordering
class Money:
    def __init__(self, amount, currency):
        self.amount, self.currency = amount, currency

    def __eq__(self, other):
        return (self.amount, self.currency) == (other.amount, other.currency)

    def __hash__(self):
        return hash((self.amount, self.currency))

    def __lt__(self, other):
        return self.amount < other.amount
