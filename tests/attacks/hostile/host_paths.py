# expect: error
# denied: yes
# kind: 8
import gc, math, json, os, sys, sysconfig, types
seen = {sys.executable, sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, *sys.argv, *sys.orig_argv}
seen |= {str(getattr(module, "__file__", "")) for module in [*sys.modules.values()]}
seen |= {thing.__code__.co_filename for thing in gc.get_objects() if isinstance(thing, types.FunctionType)}
seen |= {str(value) for value in sysconfig.get_config_vars().values()}
leaks = [path for path in seen for place in ("/home/", "/root/", "/Users/", "site-packages/assay", "/src/assay", "/sandbox/cell/boot.py ")
         if place in path]
print("ALLOWED" if leaks else "DENIED", leaks[:5])
