# expect: pass
# kind: 4
# check: account = f(10)
# check: assert account.pay(3) == 7
# check: assert account.pay(3) == 4
class f:
    def __init__(self, start): self.balance = start
    def pay(self, amount):
        self.balance -= amount
        return self.balance
