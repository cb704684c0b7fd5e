# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: import inspect
# check: signature = inspect.signature(connect)
# check: assert list(signature.parameters) == ["host", "port", "timeout", "options"]
# check: assert signature.parameters["port"].default == 80
# check: assert signature.parameters["timeout"].kind is inspect.Parameter.KEYWORD_ONLY
# check: assert signature.return_annotation is str
# check: assert connect("h", timeout=2.0, x=1) == "h:80/2.0x"
# check: assert connect.__name__ == "connect"
def connect(host, port=80, *, timeout: float = 1.0, **options) -> str:
    """Connect to a host.

    Returns its address.
    """
    return f"{host}:{port}/{timeout}" + "".join(sorted(options))
