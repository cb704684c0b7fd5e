# expect: error
# limits: cpu_s=2 wall_s=6
import codecs
codecs.register_error("backslashreplace", lambda e: ("", e.end))
raise ValueError("\udcff")
