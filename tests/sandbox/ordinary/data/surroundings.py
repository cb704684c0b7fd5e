#== problem: patched_stdin sum_of_lines
#== right
import sys
def sum_of_lines():
    return sum(int(line) for line in sys.stdin if line.strip())
#== wrong
import sys
def sum_of_lines():
    return int(sys.stdin.readline())
#== check
import io, sys
sys.stdin = io.StringIO("1\n2\n\n39\n")
assert sum_of_lines() == 42
sys.stdin = io.StringIO("")
assert sum_of_lines() == 0

#== problem: patched_input ask_age
#== right
def ask_age():
    while True:
        answer = input("Age? ")
        if answer.isdigit():
            return int(answer)
#== wrong
def ask_age():
    answer = input("Age? ")
    return int(answer) if answer.isdigit() else None
#== check
from unittest import mock
with mock.patch("builtins.input", side_effect=["x", "41"]) as fake:
    assert ask_age() == 41
assert fake.call_count == 2
fake.assert_called_with("Age? ")

#== problem: captured_stdout print_triangle
#== right
def print_triangle(n):
    for i in range(1, n + 1):
        print("*" * i)
#== wrong
def print_triangle(n):
    for i in range(n):
        print("*" * i)
#== check
import contextlib, io
buffer = io.StringIO()
with contextlib.redirect_stdout(buffer):
    print_triangle(3)
assert buffer.getvalue() == "*\n**\n***\n"

#== problem: stdout_replaced_and_restored hello
#== right
def hello(name):
    print("Hello,", name, end="!")
    return None
#== wrong
def hello(name):
    return f"Hello, {name}!"
#== check
import io, sys
captured = io.StringIO()
sys.stdout = captured
try:
    result = hello("Ada")
finally:
    sys.stdout = sys.__stdout__
assert captured.getvalue() == "Hello, Ada!"
assert result is None

#== problem: stderr_and_exit_code main
#== right
import sys
def main(argv):
    if not argv:
        print("usage: prog FILE", file=sys.stderr)
        sys.exit(2)
    print(len(argv))
    return 0
#== wrong
def main(argv):
    if not argv:
        print("usage: prog FILE")
        return 2
    print(len(argv))
    return 0
#== check
import contextlib, io
out, err = io.StringIO(), io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
        main([])
        code = None
    except SystemExit as stop:
        code = stop.code
assert code == 2
assert err.getvalue().startswith("usage")
assert out.getvalue() == ""
with contextlib.redirect_stdout(out):
    assert main(["a", "b"]) == 0
assert out.getvalue() == "2\n"

#== problem: mocked_open count_lines
#== right
def count_lines(path):
    with open(path) as file:
        return sum(1 for _ in file)
#== wrong
def count_lines(path):
    return path.count("/")
#== check
from unittest.mock import mock_open, patch
with patch("builtins.open", mock_open(read_data="a\nb\nc\n")) as fake:
    assert count_lines("/data/x.txt") == 3
fake.assert_called_once_with("/data/x.txt")

#== problem: mocked_time timed
#== right
import time
def timed(function):
    start = time.time()
    result = function()
    return result, time.time() - start
#== wrong
def timed(function):
    return function(), 0.0
#== check
from unittest import mock
with mock.patch("time.time", side_effect=[100.0, 102.5]):
    assert timed(lambda: "x") == ("x", 2.5)

#== problem: mocked_sleep poll
#== right
import time
def poll(ready, tries):
    for attempt in range(tries):
        if ready():
            return attempt
        time.sleep(2 ** attempt)
    return -1
#== wrong
import time
def poll(ready, tries):
    for attempt in range(tries):
        if ready():
            return attempt
        time.sleep(0)
    return -1
#== check
from unittest.mock import call, patch
answers = iter([False, False, True])
with patch("time.sleep") as sleep:
    assert poll(lambda: next(answers), 5) == 2
assert sleep.call_args_list == [call(1), call(2)]

#== problem: environment database_url
#== right
import os
def database_url(default="sqlite://"):
    host = os.environ.get("DB_HOST")
    return f"postgres://{host}:{os.getenv('DB_PORT', '5432')}" if host else default
#== wrong
def database_url(default="sqlite://"):
    return default
#== check
import os
from unittest import mock
with mock.patch.dict(os.environ, {"DB_HOST": "db1"}):
    assert database_url() == "postgres://db1:5432"
os.environ["DB_HOST"] = "db2"
os.environ["DB_PORT"] = "1"
assert database_url() == "postgres://db2:1"
del os.environ["DB_HOST"]
assert database_url("none") == "none"

#== problem: files_in_a_temporary_folder write_report
#== right
import json, os
def write_report(folder, data):
    path = os.path.join(folder, "report.json")
    with open(path, "w") as file:
        json.dump(data, file, sort_keys=True)
    return path
#== wrong
import os
def write_report(folder, data):
    return os.path.join(folder, "report.json")
#== check
import json, os, tempfile
with tempfile.TemporaryDirectory() as folder:
    path = write_report(folder, {"b": 1, "a": [2]})
    assert os.path.basename(path) == "report.json"
    assert os.path.exists(path)
    with open(path) as file:
        assert json.load(file) == {"a": [2], "b": 1}

#== problem: files_that_the_check_writes count_words
#== right
from pathlib import Path
def count_words(folder):
    return {path.name: len(path.read_text().split()) for path in sorted(Path(folder).glob("*.txt"))}
#== wrong
from pathlib import Path
def count_words(folder):
    return {}
#== check
import pathlib, tempfile
folder = pathlib.Path(tempfile.mkdtemp())
(folder / "a.txt").write_text("one two")
(folder / "b.txt").write_text("three")
(folder / "c.md").write_text("no")
assert count_words(folder) == {"a.txt": 2, "b.txt": 1}
assert count_words(str(folder)) == {"a.txt": 2, "b.txt": 1}

#== problem: working_directory list_here
#== right
import os
def list_here(suffix=""):
    return sorted(name for name in os.listdir() if name.endswith(suffix))
#== wrong
def list_here(suffix=""):
    return []
#== check
import os, tempfile
before = os.getcwd()
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for name in ("x.py", "y.py", "z.txt"):
        open(name, "w").close()
    try:
        assert list_here(".py") == ["x.py", "y.py"]
    finally:
        os.chdir(before)

#== problem: file_made_by_the_first_call save_people
#== right
import csv, os
def save_people(name, rows):
    path = os.path.join(os.getcwd(), name)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path
#== wrong
import os
def save_people(name, rows):
    return os.path.join(os.getcwd(), name)
#== check
import csv, os
path = save_people("people.csv", [["ann", 3], ["bob", 4]])
assert os.path.exists(path)
with open(path) as file:
    assert list(csv.reader(file)) == [["ann", "3"], ["bob", "4"]]
os.remove(path)
assert not os.path.exists("people.csv")

#== problem: file_made_while_loading settings
#== right
import os
with open("settings.ini", "w") as file:
    file.write("[a]\nb = 1\n")
def settings():
    return os.listdir()
#== wrong
def settings():
    return ["settings.ini"]
#== check
import os
assert settings() == ["settings.ini"]
assert os.path.getsize("settings.ini") == 10

#== problem: folder_and_working_directory_set_by_the_call enter
#== right
import os
def enter(name):
    os.makedirs(name)
    os.chdir(name)
#== wrong
import os
def enter(name):
    os.makedirs(name)
#== check
import os
before = os.getcwd()
enter("a/b")
assert os.getcwd() == os.path.join(before, "a", "b")
assert os.listdir() == []
os.chdir(before)
assert os.path.isdir("a/b")

#== problem: environment_set_by_the_call set_level
#== right
import os
def set_level(level):
    os.environ["LEVEL"] = level.upper()
#== wrong
import os
def set_level(level):
    os.environ["LEVEL"] = level
#== check
import os
set_level("debug")
assert os.environ["LEVEL"] == "DEBUG"
assert os.getenv("OTHER") is None

#== problem: old_files_moved archive
#== right
import os, shutil
def archive(folder, target, before):
    os.makedirs(target, exist_ok=True)
    names = [name for name in sorted(os.listdir(folder)) if os.path.getmtime(os.path.join(folder, name)) < before]
    for name in names:
        shutil.move(os.path.join(folder, name), os.path.join(target, name))
    return names
#== wrong
import os
def archive(folder, target, before):
    os.makedirs(target, exist_ok=True)
    return ["old.txt"]
#== check
import os, tempfile
folder = tempfile.mkdtemp()
target = os.path.join(folder, "..", "archive")
for name, when in (("old.txt", 1_000), ("new.txt", 9_000)):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(name)
    os.utime(path, (when, when))
assert archive(folder, target, 5_000) == ["old.txt"]
assert os.listdir(folder) == ["new.txt"]
assert open(os.path.join(target, "old.txt")).read() == "old.txt"
assert os.path.getmtime(os.path.join(target, "old.txt")) == 1_000

#== problem: permissions make_executable
#== right
import os, stat
def make_executable(path):
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    os.chmod("notes.txt", 0o444)
    return oct(os.stat(path).st_mode & 0o777)
#== wrong
def make_executable(path):
    return "0o740"
#== check
import os, tempfile
for name in ("run.sh", "notes.txt"):
    with open(name, "w") as file:
        file.write("echo")
os.chmod("run.sh", 0o640)
assert make_executable("run.sh") == "0o740"
assert os.stat("run.sh").st_mode & 0o777 == 0o740
assert not os.access("notes.txt", os.W_OK)
os.chmod("notes.txt", 0o600)
with open("notes.txt", "a") as file:
    file.write("more")
os.chmod("notes.txt", 0o400)
assert make_executable("run.sh") == "0o740"
assert open("notes.txt").read() == "echomore"

#== problem: file_becomes_a_folder swap
#== right
import os, shutil
def swap(path):
    if os.path.isdir(path):
        text = ",".join(sorted(os.listdir(path)))
        shutil.rmtree(path)
        with open(path, "w") as file:
            file.write(text)
    else:
        with open(path) as file:
            names = file.read().split(",")
        os.remove(path)
        os.makedirs(path)
        for name in names:
            os.mkdir(os.path.join(path, name))
#== wrong
def swap(path):
    pass
#== check
import os
with open("list", "w") as file:
    file.write("a,b")
swap("list")
assert os.path.isdir("list/b") and sorted(os.listdir("list")) == ["a", "b"]
os.mkdir("list/c")
swap("list")
with open("list") as file:
    assert file.read() == "a,b,c"

#== problem: open_file_result open_log
#== right
def open_log(path, *lines):
    file = open(path, "w+")
    for line in lines:
        file.write(line + "\n")
    file.seek(0)
    return file
#== wrong
def open_log(path, *lines):
    file = open(path, "w")
    file.write("\n".join(lines))
    return file
#== check
import os, tempfile
path = os.path.join(tempfile.mkdtemp(), "log.txt")
with open_log(path, "one", "two") as file:
    assert file.readline() == "one\n"
    assert file.read() == "two\n"
    assert not file.closed
assert file.closed
assert os.path.getsize(path) == 8

#== problem: file_object_argument parse_csv
#== right
import csv
def parse_csv(file):
    return [dict(row) for row in csv.DictReader(file)]
#== wrong
def parse_csv(file):
    return [dict(enumerate(line.split(","))) for line in file]
#== check
import io
source = io.StringIO("name,age\nAda,36\nBo,3\n")
assert parse_csv(source) == [{"name": "Ada", "age": "36"}, {"name": "Bo", "age": "3"}]
assert source.read() == ""
source.close()

#== problem: writes_into_a_buffer dump_table
#== right
def dump_table(rows, out):
    for row in rows:
        out.write("|".join(map(str, row)) + "\n")
    return out
#== wrong
def dump_table(rows, out):
    out.write("\n".join("|".join(map(str, row)) for row in rows))
#== check
import io
out = io.StringIO()
assert dump_table([(1, 2), ("a", None)], out) is out
assert out.getvalue() == "1|2\na|None\n"

#== problem: captured_warnings old_api
#== right
import warnings
def old_api(x):
    warnings.warn("use new_api", DeprecationWarning, stacklevel=2)
    return x + 1
#== wrong
import warnings
def old_api(x):
    warnings.warn("use new_api")
    return x + 1
#== check
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert old_api(1) == 2
assert len(caught) == 1
assert issubclass(caught[0].category, DeprecationWarning)
assert str(caught[0].message) == "use new_api"

#== problem: captured_logs transfer
#== right
import logging
logger = logging.getLogger("bank")
def transfer(amount):
    if amount < 0:
        logger.error("negative amount: %d", amount)
        return False
    logger.info("moved %d", amount)
    return True
#== wrong
import logging
def transfer(amount):
    return amount >= 0
#== check
import unittest
case = unittest.TestCase()
with case.assertLogs("bank", level="INFO") as logs:
    assert transfer(5) is True
    assert transfer(-1) is False
assert logs.output == ["INFO:bank:moved 5", "ERROR:bank:negative amount: -1"]

#== problem: seeded_random roll
#== right
import random
def roll(n, sides=6):
    return [random.randint(1, sides) for _ in range(n)]
#== wrong
import random
def roll(n, sides=6):
    return [random.Random(0).randint(1, sides) for _ in range(n)]
#== check
import random
random.seed(42)
expected = [random.randint(1, 6) for _ in range(5)]
random.seed(42)
assert roll(5) == expected
random.seed(7)
first = roll(3, sides=100)
random.seed(7)
assert roll(3, sides=100) == first
assert all(1 <= value <= 100 for value in first)

#== problem: module_globals increment
#== right
counter = 0
history = []
def increment(by=1):
    global counter
    counter += by
    history.append(counter)
    return counter
#== wrong
counter = 0
history = []
def increment(by=1):
    return by
#== check
assert counter == 0
assert increment() == 1
assert increment(4) == 5
assert history == [1, 5]
assert counter in (0, 5)

#== problem: global_set_by_the_check price
#== right
TAX_RATE = 0.5
def price(net):
    return net * (1 + TAX_RATE)
#== wrong
def price(net):
    return net * 1.5
#== check
assert price(10) == 15.0
globals()["TAX_RATE"] = 0.1
assert abs(price(10) - 11.0) < 1e-9

#== problem: recursion_limit depth
#== right
def depth(nested):
    return 1 + max(map(depth, nested), default=0) if isinstance(nested, list) else 0
#== wrong
def depth(nested):
    return str(nested).count("[")
#== check
import sys
sys.setrecursionlimit(20000)
nested = []
for _ in range(1500):
    nested = [nested]
assert depth(nested) == 1501
assert depth([[], [[]]]) == 3

#== problem: command_line_arguments parse_args
#== right
import argparse
def parse_args(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("--level", type=int, default=1)
    return parser.parse_args(argv)
#== wrong
import argparse
def parse_args(argv=None):
    return argparse.Namespace(files=[], verbose=False, level="1")
#== check
import sys
from unittest.mock import patch
ns = parse_args(["a", "b", "-v"])
assert ns.files == ["a", "b"] and ns.verbose is True and ns.level == 1
with patch.object(sys, "argv", ["prog", "x", "--level", "3"]):
    assert parse_args().level == 3
assert vars(parse_args(["f"])) == {"files": ["f"], "verbose": False, "level": 1}

#== problem: mock_object_argument notify_all
#== right
def notify_all(users, mailer):
    sent = 0
    for user in users:
        if user.get("email"):
            mailer.send(user["email"], subject="Hi " + user["name"])
            sent += 1
    return sent
#== wrong
def notify_all(users, mailer):
    for user in users:
        mailer.send(user.get("email"))
    return len(users)
#== check
from unittest.mock import MagicMock
mailer = MagicMock()
users = [{"name": "Ada", "email": "a@x"}, {"name": "Bo"}]
assert notify_all(users, mailer) == 1
mailer.send.assert_called_once_with("a@x", subject="Hi Ada")

#== problem: object_of_the_check_as_argument total_area
#== right
def total_area(shapes):
    return sum(shape.area() * getattr(shape, "weight", 1) for shape in shapes)
#== wrong
def total_area(shapes):
    return sum(shape.area() for shape in shapes)
#== check
class Box:
    weight = 2
    def __init__(self, w, h):
        self.w, self.h = w, h
    def area(self):
        return self.w * self.h
class Disc:
    def area(self):
        return 3
assert total_area([Box(1, 2), Disc()]) == 7
assert total_area([]) == 0
