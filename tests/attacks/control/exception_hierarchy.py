# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: assert parse_config("port=80 host=x") == {"port": 80, "host": "x"}
# check: try:
# check:     parse_config("host=x")
# check:     assert False
# check: except ConfigError as e:
# check:     assert e.args == ("port",)
# check:     assert type(e).__name__ == "MissingKey"
# check: try:
# check:     parse_config("port=many")
# check:     assert False
# check: except BadValue as e:
# check:     assert e.args == ("port", "many")
# check:     assert isinstance(e, ValueError)
# check:     assert isinstance(e.__cause__, ValueError)
# check: assert issubclass(MissingKey, ConfigError)
class ConfigError(ValueError):
    """Base of all."""

class MissingKey(ConfigError):
    pass

class BadValue(ConfigError):
    pass

def parse_config(text):
    config = dict(line.split("=") for line in text.split())
    if "port" not in config:
        raise MissingKey("port")
    try:
        config["port"] = int(config["port"])
    except ValueError as error:
        raise BadValue("port", config["port"]) from error
    return config
