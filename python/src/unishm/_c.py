# SPDX-License-Identifier: MIT
"""The library as ctypes sees it: unishm.h, and nothing more."""

from __future__ import annotations

import ctypes
import sys
from ctypes import (
    CFUNCTYPE,
    POINTER,
    c_bool,
    c_char_p,
    c_int,
    c_int64,
    c_long,
    c_size_t,
    c_uint,
    c_uint16,
    c_uint64,
    c_ulong,
    c_void_p,
)

NORESERVE, HUGETLB, BY_ID = 1, 2, 4
RDONLY, EXEC, POPULATE, RND, REMAP = 1, 2, 4, 8, 16
SWEEP_DRY = 1

_BSD = sys.platform.startswith(("freebsd", "netbsd", "openbsd", "dragonfly"))
key_t = c_long if _BSD else c_int
mode_t = c_uint16 if sys.platform.startswith(("darwin", "freebsd", "dragonfly")) else c_uint

INIT = CFUNCTYPE(c_int, c_void_p, c_size_t, c_void_p)


class Options(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("backend", c_char_p),
        ("key", key_t),
        ("oflag", c_int),
        ("size", c_size_t),
        ("mode", mode_t),
        ("flags", c_uint),
        ("init", INIT),
        ("arg", c_void_p),
        ("id", c_int),
        ("wait_ms", c_uint),
    ]


class Status(ctypes.Structure):
    _fields_ = [
        ("backend", c_char_p),
        ("id", c_int),
        ("key", key_t),
        ("size", c_size_t),
        ("mode", mode_t),
        ("number_attached", c_ulong),
        ("creator_process", c_int),
        ("last_op_process", c_int),
        ("last_attach_time", c_int64),
        ("last_detach_time", c_int64),
        ("last_change_time", c_int64),
        ("creator_user", c_uint),
        ("owner_user", c_uint),
        ("creator_group", c_uint),
        ("owner_group", c_uint),
        ("locked", c_bool),
        ("removed", c_bool),
        ("emulated", c_uint),
        ("inexact", c_uint),
        ("reserved", c_uint64 * 6),
    ]


VISIT = CFUNCTYPE(c_int, POINTER(Status), c_void_p)

# The bits of emulated and inexact, from the lowest on.
STATUS_BITS = (
    "number_attached",
    "creator_process",
    "last_op_process",
    "last_attach_time",
    "last_detach_time",
    "last_change_time",
    "creator_user",
    "creator_group",
    "key",
    "size",
    "id",
    "locked",
    "removed",
)

_name = "libunishm.0.dylib" if sys.platform == "darwin" else "libunishm.so.0"
try:
    lib = ctypes.CDLL(_name)
except OSError as error:
    raise ImportError(f"unishm needs the library {_name}: {error}") from None

_seg = c_void_p
_PROTOTYPES: dict[str, tuple[object, tuple[object, ...]]] = {
    "unishm_open_with": (c_int, (POINTER(_seg), POINTER(Options))),
    "unishm_open_id": (c_int, (POINTER(_seg), c_int)),
    "unishm_close": (None, (_seg,)),
    "unishm_attach": (c_int, (_seg, c_int, POINTER(c_void_p))),
    "unishm_attach_at": (c_int, (_seg, c_void_p, c_int, POINTER(c_void_p))),
    "unishm_detach": (c_int, (_seg, c_void_p)),
    "unishm_remove": (c_int, (_seg,)),
    "unishm_lock": (c_int, (_seg,)),
    "unishm_unlock": (c_int, (_seg,)),
    "unishm_chmod": (c_int, (_seg, mode_t)),
    "unishm_chown": (c_int, (_seg, c_uint, c_uint)),
    "unishm_status": (c_int, (_seg, POINTER(Status))),
    "unishm_list": (c_int, (c_char_p, VISIT, c_void_p)),
    "unishm_sweep": (c_int, (c_char_p, c_int, VISIT, c_void_p)),
    "unishm_size": (c_size_t, (_seg,)),
    "unishm_key": (key_t, (_seg,)),
    "unishm_id": (c_int, (_seg,)),
    "unishm_backend": (c_char_p, (_seg,)),
    "unishm_created": (c_bool, (_seg,)),
    "unishm_key_from_path": (key_t, (c_char_p, c_int)),
    "unishm_key_from_name": (key_t, (c_char_p,)),
    "unishm_backends": (POINTER(c_char_p), ()),
    "unishm_version": (c_char_p, ()),
    "unishm_errmsg": (c_char_p, ()),
}
for _function, (_result, _arguments) in _PROTOTYPES.items():
    _call = getattr(lib, _function)
    _call.restype = _result
    _call.argtypes = _arguments


def sentence() -> str:
    """What went wrong in the last call of this thread that failed."""
    text: bytes = lib.unishm_errmsg()
    return text.decode(errors="replace")


def check(rc: int) -> int:
    """Raise what a negative result means: the OSError of its errno."""
    if rc < 0:
        raise OSError(-rc, sentence())
    return rc
