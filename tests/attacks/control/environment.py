# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import os
# check: from unittest import mock
# check: with mock.patch.dict(os.environ, {"DB_HOST": "db1"}):
# check:     assert database_url() == "postgres://db1:5432"
# check: os.environ["DB_HOST"] = "db2"
# check: os.environ["DB_PORT"] = "1"
# check: assert database_url() == "postgres://db2:1"
# check: del os.environ["DB_HOST"]
# check: assert database_url("none") == "none"
import os
def database_url(default="sqlite://"):
    host = os.environ.get("DB_HOST")
    return f"postgres://{host}:{os.getenv('DB_PORT', '5432')}" if host else default
