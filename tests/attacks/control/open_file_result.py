# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import os, tempfile
# check: path = os.path.join(tempfile.mkdtemp(), "log.txt")
# check: with open_log(path, "one", "two") as file:
# check:     assert file.readline() == "one\n"
# check:     assert file.read() == "two\n"
# check:     assert not file.closed
# check: assert file.closed
# check: assert os.path.getsize(path) == 8
def open_log(path, *lines):
    file = open(path, "w+")
    for line in lines:
        file.write(line + "\n")
    file.seek(0)
    return file
