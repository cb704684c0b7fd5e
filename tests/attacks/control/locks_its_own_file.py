# expect: pass
import fcntl, sqlite3
file = open("/tmp/lock", "w")
fcntl.flock(file, fcntl.LOCK_EX); fcntl.lockf(file, fcntl.LOCK_EX)
database = sqlite3.connect("/tmp/database")
database.execute("create table t (x)"); database.execute("insert into t values (2)"); database.commit()
def f(x): return database.execute("select x from t").fetchone()[0]
