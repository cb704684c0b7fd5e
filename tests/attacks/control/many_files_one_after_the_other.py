# expect: pass
# repeat: 3
import os, tempfile
def f(x):
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as unnamed:
        for n in range(20): open(os.path.join(folder, str(n)), "w").write("x")
        unnamed.write(b"x")
        return len(os.listdir(folder)) - 18
