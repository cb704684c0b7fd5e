# expect: error
# -*- coding: no-such-codec -*-
raise LookupError("codec")
