# expect: timeout error
# limits: cpu_s=1 wall_s=2
import multiprocessing
multiprocessing.get_context("fork").SimpleQueue().get()
