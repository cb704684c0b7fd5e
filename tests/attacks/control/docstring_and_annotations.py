# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: assert slugify("Hello Big World") == "hello-big-world"
# check: assert slugify.__doc__ is not None and "slug" in slugify.__doc__
# check: assert slugify.__annotations__ == {"title": str, "sep": str, "return": str}
# check: assert slugify.__defaults__ == ("-",)
# check: assert callable(slugify)
def slugify(title: str, sep: str = "-") -> str:
    """Return a slug of the title."""
    return sep.join(title.lower().split())
