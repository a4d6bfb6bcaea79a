# SPDX-License-Identifier: MIT
"""Run inside gdb: the frames at stop_here as JSON, with the variables that gdb finds in each."""
import json
import gdb


def text(value):
    """A value as Pagoda writes it, or None where that is not a matter of course."""
    kind = value.type.strip_typedefs()
    if value.is_optimized_out:
        return "<optimised out>"
    if kind.code == gdb.TYPE_CODE_PTR:
        return hex(int(value))
    if kind.code in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_ENUM, gdb.TYPE_CODE_BOOL, gdb.TYPE_CODE_CHAR,
                     gdb.TYPE_CODE_FLT, gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_ARRAY):
        return value.format_string(symbols=False, repeat_threshold=0)
    return None


frames = []
frame = gdb.newest_frame()
while frame is not None:
    found = {"function": frame.name(), "inlined": frame.type() == gdb.INLINE_FRAME, "pc": frame.pc(),
             "sp": int(frame.read_register("rsp")) & (2 ** 64 - 1), "variables": {}}
    try:
        block = frame.block()
    except RuntimeError:
        block = None
    while block is not None:
        for symbol in block:
            if (symbol.is_argument or symbol.is_variable) and symbol.name not in found["variables"]:
                found["variables"][symbol.name] = text(symbol.value(frame))
        if block.function:
            break
        block = block.superblock
    frames.append(found)
    frame = frame.older()
print("FRAMES " + json.dumps(frames))
