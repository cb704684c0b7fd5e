# expect: error
import sys
class Finder:
    def find_spec(self, *a): raise SystemExit(0)
sys.meta_path.insert(0, Finder()); sys.path_hooks.clear(); sys.path_importer_cache.clear()
sys.modules.pop("json", None); sys.modules.pop("struct", None)
import json
