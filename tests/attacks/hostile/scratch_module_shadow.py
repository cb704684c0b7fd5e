# expect: error
for m in ("json", "re", "random", "candidate", "sandbox"): open(f"/tmp/{m}.py", "w").write("raise SystemExit(0)")
import sys
sys.path.insert(0, "/tmp")
