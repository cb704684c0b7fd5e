# expect: error
import os
os.symlink("/", "/tmp/r"); os.symlink("/usr", "/tmp/u"); os.symlink("x", "/tmp/x"); os.mkdir("/tmp/d"); os.symlink("..", "/tmp/d/up")
