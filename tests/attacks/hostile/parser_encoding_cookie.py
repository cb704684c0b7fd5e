# expect: error
exec(b"# -*- coding: rot13 -*-\nflfgrz")
