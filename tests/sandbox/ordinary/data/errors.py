#== problem: own_exception withdraw
#== right
class InsufficientFunds(Exception):
    def __init__(self, balance, amount):
        super().__init__(f"need {amount - balance} more")
        self.balance = balance
        self.amount = amount

def withdraw(balance, amount):
    if amount > balance:
        raise InsufficientFunds(balance, amount)
    return balance - amount
#== wrong
class InsufficientFunds(Exception):
    pass

def withdraw(balance, amount):
    if amount > balance:
        raise InsufficientFunds("no")
    return balance - amount
#== cheat
class Anything:
    def __eq__(self, other): return True
class InsufficientFunds(Exception):
    balance = amount = Anything()
    def __str__(self): return "need 50 more"
def withdraw(balance, amount):
    if amount > balance:
        raise InsufficientFunds()
    return Anything()
#== check
assert withdraw(100, 30) == 70
try:
    withdraw(50, 100)
    assert False, "InsufficientFunds expected"
except InsufficientFunds as error:
    assert error.balance == 50
    assert error.amount == 100
    assert str(error) == "need 50 more"

#== problem: exception_hierarchy parse_config
#== right
class ConfigError(ValueError):
    """Base of all."""

class MissingKey(ConfigError):
    pass

class BadValue(ConfigError):
    pass

def parse_config(text):
    config = dict(line.split("=") for line in text.split())
    if "port" not in config:
        raise MissingKey("port")
    try:
        config["port"] = int(config["port"])
    except ValueError as error:
        raise BadValue("port", config["port"]) from error
    return config
#== wrong
class ConfigError(ValueError):
    """Base of all."""

class MissingKey(Exception):
    pass

class BadValue(ConfigError):
    pass

def parse_config(text):
    config = dict(line.split("=") for line in text.split())
    if "port" not in config:
        raise MissingKey("port")
    config["port"] = int(config["port"])
    return config
#== check
assert parse_config("port=80 host=x") == {"port": 80, "host": "x"}
try:
    parse_config("host=x")
    assert False
except ConfigError as e:
    assert e.args == ("port",)
    assert type(e).__name__ == "MissingKey"
try:
    parse_config("port=many")
    assert False
except BadValue as e:
    assert e.args == ("port", "many")
    assert isinstance(e, ValueError)
    assert isinstance(e.__cause__, ValueError)
assert issubclass(MissingKey, ConfigError)

#== problem: raises_helper divide
#== right
def divide(a, b):
    if b == 0:
        raise ValueError("division by zero is not allowed")
    return a / b
#== wrong
def divide(a, b):
    return a / b
#== check
import re
from contextlib import contextmanager
@contextmanager
def raises(kind, match=""):
    try:
        yield
    except kind as error:
        assert re.search(match, str(error)), str(error)
    else:
        raise AssertionError("nothing was raised")
with raises(ValueError, match="not allowed"):
    divide(1, 0)
assert divide(1, 4) == 0.25

#== problem: unittest_assert_raises Account
#== right
class AccountError(Exception):
    def __init__(self, message, code):
        super().__init__(message)
        self.code = code

class Account:
    def __init__(self, balance=0):
        self.balance = balance

    def withdraw(self, amount):
        if amount > self.balance:
            raise AccountError("overdrawn", 17)
        self.balance -= amount
        return self.balance
#== wrong
class AccountError(Exception):
    pass

class Account:
    def __init__(self, balance=0):
        self.balance = balance

    def withdraw(self, amount):
        self.balance -= amount
        return self.balance
#== check
import unittest
class TestAccount(unittest.TestCase):
    def setUp(self):
        self.account = Account(10)

    def test_withdraw(self):
        self.assertEqual(self.account.withdraw(4), 6)
        self.assertEqual(self.account.balance, 6)

    def test_overdrawn(self):
        with self.assertRaises(AccountError) as context:
            self.account.withdraw(11)
        self.assertEqual(context.exception.code, 17)
        self.assertIn("overdrawn", str(context.exception))
result = unittest.TestResult()
unittest.defaultTestLoader.loadTestsFromTestCase(TestAccount).run(result)
assert result.testsRun == 2
assert result.wasSuccessful(), result.failures + result.errors
