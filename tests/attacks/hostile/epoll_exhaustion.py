# expect: error
# limits: cpu_s=1 wall_s=3
import select
x = []
while True: x.append(select.epoll())
