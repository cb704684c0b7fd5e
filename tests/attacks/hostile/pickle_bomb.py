# expect: error timeout memory
# limits: cpu_s=2 wall_s=8
import pickle
pickle.loads(b"(" * 10**6 + b".")
