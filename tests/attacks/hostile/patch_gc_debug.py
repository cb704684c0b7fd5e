# expect: error
# limits: cpu_s=2 wall_s=6
import gc
gc.set_debug(gc.DEBUG_LEAK); gc.set_threshold(1, 1, 1); gc.collect()
