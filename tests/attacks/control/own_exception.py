# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: assert withdraw(100, 30) == 70
# check: try:
# check:     withdraw(50, 100)
# check:     assert False, "InsufficientFunds expected"
# check: except InsufficientFunds as error:
# check:     assert error.balance == 50
# check:     assert error.amount == 100
# check:     assert str(error) == "need 50 more"
class InsufficientFunds(Exception):
    def __init__(self, balance, amount):
        super().__init__(f"need {amount - balance} more")
        self.balance = balance
        self.amount = amount

def withdraw(balance, amount):
    if amount > balance:
        raise InsufficientFunds(balance, amount)
    return balance - amount
