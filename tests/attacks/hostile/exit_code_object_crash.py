# expect: error
import types
def g(): pass
exec(g.__code__.replace(co_code=b"\x64\xff" * 50))
