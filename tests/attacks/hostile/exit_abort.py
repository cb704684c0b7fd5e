# expect: error
import os
os.abort()
