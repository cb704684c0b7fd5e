# expect: error
import os, sys
sys.meta_path.insert(0, type("F", (), {"find_spec": staticmethod(lambda *a: os._exit(0))}))
import wave
