# expect: error
for n in (b"\xff\xfe", b"a\nb", b"-rf", b"*", b" ", b"\xe2\x80\xae"): open(b"/tmp/" + n, "w").close()
