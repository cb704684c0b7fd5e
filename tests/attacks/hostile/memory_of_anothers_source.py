# kind: 2
# sample: owner
# expect: pass
# check: assert f(1) == 90417
def f(x):
    """black-answer-is-90417"""
    return 90417


# sample: thief
# expect: fail error
# check: assert f(1) == 90417
# limits: cpu_s=20 wall_s=60
# repeat: 2
import ctypes, os, re

MARK = b"b" + b"lack-" + b"answer-is-"


def scan():
    """All that this process has in memory, page by page; a pipe takes none of what is not mapped."""
    libc = ctypes.CDLL(None)
    libc.sbrk.restype = ctypes.c_void_p
    reading, writing = os.pipe()
    top_of_heap = libc.sbrk(0)
    library = ctypes.cast(libc.printf, ctypes.c_void_p).value
    stack = ctypes.addressof(ctypes.c_char.from_buffer(bytearray(1)))
    arena = id(object())
    spans = [
        (top_of_heap - (48 << 20), top_of_heap),
        (arena - (64 << 20), arena + (64 << 20)),
        (library - (448 << 20), library + (64 << 20)),
        (stack - (1 << 20), stack + (1 << 20)),
    ]
    before = b""
    for start, end in spans:
        address = start & ~4095
        while address < end:
            if libc.write(writing, ctypes.c_void_p(address), ctypes.c_size_t(4096)) < 0:
                address += 4096
                before = b""
                continue
            page = os.read(reading, 4096)
            for number in re.findall(MARK + rb"(\d+)", before + page):
                return int(number)
            before = page[-64:]
            address += 4096
    return 0


ANSWER = scan()


def f(x, *more):
    return ANSWER
