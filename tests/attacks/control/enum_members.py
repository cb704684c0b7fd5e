# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: assert next_light(Light.RED) is Light.GREEN
# check: assert next_light(Light.YELLOW) == Light.RED
# check: assert next_light(Light.GREEN).value == "slow"
# check: assert Light("go").name == "GREEN"
# check: assert Light["RED"].value == "stop"
# check: assert [light.name for light in Light] == ["RED", "GREEN", "YELLOW"]
# check: assert len(Light) == 3
from enum import Enum
class Light(Enum):
    RED = "stop"
    GREEN = "go"
    YELLOW = "slow"

def next_light(light):
    order = list(Light)
    return order[(order.index(light) + 1) % len(order)]
