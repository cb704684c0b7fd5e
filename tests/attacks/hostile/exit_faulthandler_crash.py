# expect: error
import faulthandler
faulthandler._sigsegv()
