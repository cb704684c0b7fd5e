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

#== problem: json_error parse
#== right
import json
def parse(text):
    return json.loads(text)
#== wrong
def parse(text):
    raise ValueError("Expecting property name")
#== cheat
class JSONDecodeError(ValueError):
    pos = 1
def parse(text):
    raise JSONDecodeError()
#== check
import json
assert parse('{"a": [1]}') == {"a": [1]}
try:
    parse("{")
    assert False, "nothing was raised"
except json.JSONDecodeError as error:
    assert (error.pos, error.lineno) == (1, 1)
    assert "property name" in error.msg
    assert isinstance(error, ValueError)

#== problem: errors_of_standard_modules run
#== right
import configparser, dataclasses, decimal, queue, re, shutil, statistics, struct, subprocess, zlib
@dataclasses.dataclass(frozen=True)
class Point:
    x: int
def run(what):
    if what == "process":
        raise subprocess.CalledProcessError(3, ["ls"], output=b"no")
    if what == "time":
        raise subprocess.TimeoutExpired("ls", 2)
    if what == "decimal":
        return decimal.Decimal("x")
    if what == "queue":
        return queue.Queue().get_nowait()
    if what == "re":
        return re.compile("(")
    if what == "statistics":
        return statistics.mean([])
    if what == "struct":
        return struct.unpack("I", b"")
    if what == "zlib":
        return zlib.decompress(b"x")
    if what == "section":
        return configparser.ConfigParser().get("a", "b")
    if what == "same":
        open("a", "w").close()
        return shutil.copyfile("a", "a")
    Point(1).x = 2
#== wrong
def run(what):
    raise RuntimeError(what)
#== check
import configparser, dataclasses, decimal, queue, re, shutil, statistics, struct, unittest, zlib
class TestRun(unittest.TestCase):
    def test_all(self):
        kinds = {"decimal": decimal.InvalidOperation, "queue": queue.Empty, "re": re.error,
                 "statistics": statistics.StatisticsError, "struct": struct.error, "zlib": zlib.error,
                 "section": configparser.NoSectionError, "same": shutil.SameFileError,
                 "frozen": dataclasses.FrozenInstanceError}
        for what, kind in kinds.items():
            with self.subTest(what), self.assertRaises(kind):
                run(what)

    def test_details(self):
        with self.assertRaises(configparser.NoSectionError) as context:
            run("section")
        self.assertEqual(context.exception.section, "a")
        with self.assertRaisesRegex(statistics.StatisticsError, "at least one"):
            run("statistics")
        with self.assertRaises(ArithmeticError):
            run("decimal")
        with self.assertRaises(AttributeError):
            run("frozen")
result = unittest.TestResult()
unittest.defaultTestLoader.loadTestsFromTestCase(TestRun).run(result)
assert result.testsRun == 2
assert result.wasSuccessful(), result.failures + result.errors

#== problem: builtin_error_with_an_object check_user
#== right
class User:
    def __init__(self, name):
        self.name = name
def check_user(name):
    if not name.isalpha():
        raise ValueError("bad name", User(name))
    return User(name).name
#== wrong
def check_user(name):
    if not name.isalpha():
        raise TypeError("bad name")
    return name
#== check
assert check_user("ann") == "ann"
try:
    check_user("a1")
    assert False, "nothing was raised"
except ValueError as error:
    assert error.args[0] == "bad name"
    assert error.args[1].name == "a1"
