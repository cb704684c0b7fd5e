# expect: error fail
class Deep(Exception):
    def __str__(self): raise self
    def __repr__(self): raise Deep
    __cause__ = property(lambda self: self)
    args = property(lambda self: [self])
def f(x): raise Deep
