# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import pathlib, tempfile
# check: folder = pathlib.Path(tempfile.mkdtemp())
# check: (folder / "a.txt").write_text("one two")
# check: (folder / "b.txt").write_text("three")
# check: (folder / "c.md").write_text("no")
# check: assert count_words(folder) == {"a.txt": 2, "b.txt": 1}
# check: assert count_words(str(folder)) == {"a.txt": 2, "b.txt": 1}
from pathlib import Path
def count_words(folder):
    return {path.name: len(path.read_text().split()) for path in sorted(Path(folder).glob("*.txt"))}
