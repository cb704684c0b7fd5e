# expect: timeout
# limits: cpu_s=0.5 wall_s=4
text = "a" * 10_000_000
while True: text.replace("a", "b").count("ab"), text.find("b" * 1000 + "a")
