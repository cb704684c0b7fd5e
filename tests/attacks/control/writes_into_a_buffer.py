# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import io
# check: out = io.StringIO()
# check: assert dump_table([(1, 2), ("a", None)], out) is out
# check: assert out.getvalue() == "1|2\na|None\n"
def dump_table(rows, out):
    for row in rows:
        out.write("|".join(map(str, row)) + "\n")
    return out
