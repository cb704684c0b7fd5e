# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: ring = make_ring([1, 2, 3])
# check: assert ring[0] == 1
# check: assert ring[1][0] == 2
# check: assert ring[1][1][0] == 3
# check: assert ring[1][1][1] is ring
# check: node, seen = ring, []
# check: for _ in range(5):
# check:     seen.append(node[0])
# check:     node = node[1]
# check: assert seen == [1, 2, 3, 1, 2]
def make_ring(values):
    nodes = [[value, None] for value in values]
    for i, node in enumerate(nodes):
        node[1] = nodes[(i + 1) % len(nodes)]
    return nodes[0]
