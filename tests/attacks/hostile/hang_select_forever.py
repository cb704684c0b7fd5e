# expect: timeout
# limits: cpu_s=0.3 wall_s=1
import select
select.select([], [], [])
