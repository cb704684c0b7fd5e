# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import json, os, tempfile
# check: with tempfile.TemporaryDirectory() as folder:
# check:     path = write_report(folder, {"b": 1, "a": [2]})
# check:     assert os.path.basename(path) == "report.json"
# check:     assert os.path.exists(path)
# check:     with open(path) as file:
# check:         assert json.load(file) == {"a": [2], "b": 1}
import json, os
def write_report(folder, data):
    path = os.path.join(folder, "report.json")
    with open(path, "w") as file:
        json.dump(data, file, sort_keys=True)
    return path
