# expect: error
import builtins, sys
getattr(builtins, "exit", sys.exit)(0)
