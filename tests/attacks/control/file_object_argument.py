# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import io
# check: source = io.StringIO("name,age\nAda,36\nBo,3\n")
# check: assert parse_csv(source) == [{"name": "Ada", "age": "36"}, {"name": "Bo", "age": "3"}]
# check: assert source.read() == ""
# check: source.close()
import csv
def parse_csv(file):
    return [dict(row) for row in csv.DictReader(file)]
