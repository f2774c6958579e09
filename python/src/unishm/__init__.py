# SPDX-License-Identifier: MIT
"""One API over System V and POSIX shared memory.

    with unishm.Segment("my.cache", create=True, size=1024) as segment:
        with segment.attach() as memory:
            memory.buf[:5] = b"hello"
        segment.remove()

A failure is an OSError with errno and a sentence that says what to do. unishm(3) has
what each call promises, and unishm(7) the concepts.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import gc
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, Optional, Union

from . import _c

__all__ = [
    "Attachment",
    "Segment",
    "Status",
    "backends",
    "key_from_name",
    "key_from_path",
    "list",
    "sweep",
    "version",
]
__version__ = "0.1.0"

Key = Union[int, str, None]
Init = Union[bytes, bytearray, memoryview, Callable[[memoryview], object]]

_lib = _c.lib


# ---- Status ----------------------------------------------------------------------


@dataclass(frozen=True)
class Status:
    """Everything about a segment at one instant; see unishm(3)."""

    backend: str
    id: int
    key: int
    """0 for a private segment, and once removed."""
    size: int
    mode: int
    number_attached: int
    creator_process: int
    last_op_process: int
    """The last to attach or detach; 0: none yet."""
    last_attach_time: Optional[datetime]
    """Times are in UTC; None: never."""
    last_detach_time: Optional[datetime]
    last_change_time: Optional[datetime]
    creator_user: int
    creator_group: int
    owner_user: int
    owner_group: int
    locked: bool
    removed: bool
    emulated: frozenset[str]
    """The fields that the library keeps, since the kernel does not on this backend."""
    inexact: frozenset[str]
    """Of those, what may be off now; see unishm(7)."""


def _time(seconds: int) -> Optional[datetime]:
    return datetime.fromtimestamp(seconds, timezone.utc) if seconds else None


def _fields(bits: int) -> frozenset[str]:
    return frozenset(name for bit, name in enumerate(_c.STATUS_BITS) if bits >> bit & 1)


def _status(st: _c.Status) -> Status:
    return Status(
        backend=st.backend.decode(),
        id=st.id,
        key=st.key,
        size=st.size,
        mode=st.mode,
        number_attached=st.number_attached,
        creator_process=st.creator_process,
        last_op_process=st.last_op_process,
        last_attach_time=_time(st.last_attach_time),
        last_detach_time=_time(st.last_detach_time),
        last_change_time=_time(st.last_change_time),
        creator_user=st.creator_user,
        creator_group=st.creator_group,
        owner_user=st.owner_user,
        owner_group=st.owner_group,
        locked=st.locked,
        removed=st.removed,
        emulated=_fields(st.emulated),
        inexact=_fields(st.inexact),
    )


# ---- Handles and mappings: closed and detached when nothing refers to them ------------


class _Handle:
    def __init__(self) -> None:
        self.c = ctypes.c_void_p()
        self._close = _lib.unishm_close  # still there when the interpreter ends

    def __del__(self) -> None:
        if self.c:
            self._close(self.c)


class _Mapping:
    """One attachment. The bytes refer to it, and all views of them do so too: what can
    still be read is still mapped."""

    def __init__(self, handle: _Handle, address: int) -> None:
        self.handle = handle
        self.address = address
        self._detach = _lib.unishm_detach

    def detach(self) -> None:
        address, self.address = self.address, 0
        _c.check(self._detach(self.handle.c, address))

    def __del__(self) -> None:
        if self.address:
            self._detach(self.handle.c, self.address)


def _bytes_at(mapping: _Mapping, size: int) -> ctypes.Array[ctypes.c_ubyte]:
    class Bytes(ctypes.Array):  # type: ignore[type-arg] # a subclass has attributes
        _type_ = ctypes.c_ubyte
        _length_ = size

    bytes_ = Bytes.from_address(mapping.address)
    bytes_._mapping = mapping  # type: ignore[attr-defined]
    return bytes_


class Attachment:
    """One attachment of a segment, as Segment.attach() returns it. It ends with
    detach(), with a with statement, or when nothing refers to it or its bytes."""

    def __init__(self, handle: _Handle, address: int, size: int, read_only: bool) -> None:
        mapping = _Mapping(handle, address)
        self._address = address
        self._size = size
        self._read_only = read_only
        self._bytes = weakref.ref(data := _bytes_at(mapping, size))
        self._buf: Optional[memoryview] = self._view(data)

    def _view(self, data: ctypes.Array[ctypes.c_ubyte]) -> memoryview:
        view = memoryview(data).cast("B")
        return view.toreadonly() if self._read_only else view

    @property
    def buf(self) -> memoryview:
        """The bytes."""
        if self._buf is None:
            raise ValueError("it is detached")
        return self._buf

    @property
    def address(self) -> int:
        """Where it is mapped; 0: it is detached."""
        return self._address if self._buf is not None else 0

    @property
    def size(self) -> int:
        return self._size

    @property
    def read_only(self) -> bool:
        return self._read_only

    def detach(self) -> None:
        """End the attachment. BufferError: something else still refers to the bytes."""
        if self._buf is None:
            raise ValueError("it is detached")
        mapping = self._let_go()
        if mapping is not None:
            mapping.detach()

    def _let_go(self) -> Optional[_Mapping]:
        """Give up the view, and say what is to be detached, if no other view is left."""
        data = self._bytes()
        if data is None:
            return None
        mapping: _Mapping = data._mapping  # type: ignore[attr-defined]
        view, self._buf = self._buf, None
        assert view is not None
        try:
            view.release()
        except BufferError:
            self._buf = view
            raise BufferError("a buffer of this attachment is in use") from None
        del view, data
        if self._bytes() is not None:
            gc.collect()
        data = self._bytes()
        if data is not None:
            self._buf = self._view(data)
            raise BufferError("a view of this attachment is in use")
        return mapping

    def __enter__(self) -> Attachment:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        value: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if self._buf is not None:
            self.detach()

    def __repr__(self) -> str:
        where = f"at {self._address:#x}" if self._buf is not None else "detached"
        return f"<unishm.Attachment of {self._size} bytes, {where}>"


# ---- Segments --------------------------------------------------------------------


def _encode(name: Union[str, bytes, None]) -> Optional[bytes]:
    if name is None:
        return None
    encoded = os.fsencode(name)
    if b"\0" in encoded:
        raise ValueError("embedded null byte")
    return encoded


def _fit(value: int, kind: Any, what: str) -> int:
    """ctypes would cut off what does not fit."""
    if kind(value).value != value:
        raise OverflowError(f"{what} is out of range: {value}")
    return value


def _key(key: Key) -> int:
    if isinstance(key, str):
        return key_from_name(key)
    return 0 if key is None else _fit(key, _c.key_t, "key")


class _Filler:
    """Makes a callback of C of what is to be in a new segment. An exception of the
    callable is kept, and raised by deliver(). The callable gets bytes that are copied
    then, since a view of the segment could be kept for longer than it is mapped."""

    def __init__(self, init: Init) -> None:
        self.error: Optional[BaseException] = None
        self._init = init
        self.callback = _c.INIT(self._fill)

    def _fill(self, address: int, size: int, _arg: object) -> int:
        try:
            if callable(self._init):
                data: Any = bytearray(size)
                self._init(memoryview(data))
            else:
                data = bytes(self._init)
                if len(data) > size:
                    raise ValueError(f"{len(data)} bytes do not fit into {size}")
            ctypes.memmove(address, bytes(data), len(data))
            return 0
        except BaseException as error:
            self.error = error
            return -errno.ECANCELED

    def deliver(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error


class Segment:
    """A handle to one segment.

    key        which one: a number, a string from which the number is made, or None:
               always a new, private segment
    create     make it if it does not exist
    exclusive  with create: it must not exist (FileExistsError)
    size       bytes of a new segment; for one that exists, the least that will do
    mode       permission bits of a new segment, whatever the umask
    backend    "sysv", "posix", or None: $UNISHM_BACKEND or the default
    noreserve  set no memory aside
    hugetlb    use huge pages (System V on Linux)
    init       what a new segment holds before anyone else can see it: bytes, or a
               callable that fills the memoryview that it gets
    wait       with create: seconds to wait for the init of another process; None: no
               limit
    """

    def __init__(
        self,
        key: Key,
        *,
        create: bool = False,
        exclusive: bool = False,
        size: int = 0,
        mode: int = 0o600,
        backend: Optional[str] = None,
        noreserve: bool = False,
        hugetlb: bool = False,
        init: Optional[Init] = None,
        wait: Optional[float] = None,
    ) -> None:
        if exclusive and not create:
            raise ValueError("exclusive is for create")
        opt = _c.Options(
            struct_size=ctypes.sizeof(_c.Options),
            backend=_encode(backend),
            key=_key(key),
            oflag=(os.O_CREAT if create else 0) | (os.O_EXCL if exclusive else 0),
            size=_fit(size, ctypes.c_size_t, "size"),
            mode=_fit(mode, _c.mode_t, "mode"),
            flags=(_c.NORESERVE if noreserve else 0) | (_c.HUGETLB if hugetlb else 0),
            wait_ms=0 if wait is None else _fit(
                max(1, round(wait * 1000)), ctypes.c_uint, "wait"
            ),
        )
        filler = None if init is None else _Filler(init)
        if filler is not None:
            opt.init = filler.callback
        self._open(opt, filler)

    def _open(self, opt: _c.Options, filler: Optional[_Filler] = None) -> None:
        handle = _Handle()
        rc = _lib.unishm_open_with(ctypes.byref(handle.c), ctypes.byref(opt))
        if filler is not None:
            filler.deliver()
        _c.check(rc)
        self._take(handle)

    def _take(self, handle: _Handle) -> None:
        self._handle: Optional[_Handle] = handle
        self._attachments: weakref.WeakSet[Attachment] = weakref.WeakSet()

    @classmethod
    def open_id(cls, id: int, *, backend: Optional[str] = None) -> Segment:
        """Open an existing segment by its id, as another process reported it."""
        segment = cls.__new__(cls)
        if backend is None:
            handle = _Handle()
            _c.check(_lib.unishm_open_id(ctypes.byref(handle.c), _fit(id, ctypes.c_int, "id")))
            segment._take(handle)
        else:
            segment._open(
                _c.Options(
                    struct_size=ctypes.sizeof(_c.Options),
                    backend=_encode(backend),
                    flags=_c.BY_ID,
                    id=_fit(id, ctypes.c_int, "id"),
                )
            )
        return segment

    @property
    def _c(self) -> ctypes.c_void_p:
        if self._handle is None:
            raise ValueError("it is closed")
        return self._handle.c

    # -- Attaching

    def attach(
        self,
        *,
        read_only: bool = False,
        address: Optional[int] = None,
        executable: bool = False,
        populate: bool = False,
        round_down: bool = False,
        remap: bool = False,
    ) -> Attachment:
        """Attach at the first available address, or at address. With remap, what is
        mapped there is replaced: that must be nothing that Python still uses."""
        flags = (
            (_c.RDONLY if read_only else 0)
            | (_c.EXEC if executable else 0)
            | (_c.POPULATE if populate else 0)
            | (_c.RND if round_down else 0)
            | (_c.REMAP if remap else 0)
        )
        where = ctypes.c_void_p()
        if address is None:
            rc = _lib.unishm_attach(self._c, flags, ctypes.byref(where))
        else:
            _fit(address, ctypes.c_size_t, "address")
            rc = _lib.unishm_attach_at(self._c, address, flags, ctypes.byref(where))
        _c.check(rc)
        assert self._handle is not None and where.value is not None
        attachment = Attachment(self._handle, where.value, self.size, read_only)
        self._attachments.add(attachment)
        return attachment

    # -- Changing and removing

    def remove(self) -> None:
        """Remove the segment: its key is free at once, and whoever is attached stays."""
        _c.check(_lib.unishm_remove(self._c))

    def lock(self) -> None:
        """Keep it in RAM."""
        _c.check(_lib.unishm_lock(self._c))

    def unlock(self) -> None:
        """Let it page again."""
        _c.check(_lib.unishm_unlock(self._c))

    def chmod(self, mode: int) -> None:
        """Change the permission bits."""
        _c.check(_lib.unishm_chmod(self._c, _fit(mode, _c.mode_t, "mode")))

    def chown(self, user: int = -1, group: int = -1) -> None:
        """Change owner and group; -1 leaves one as it is."""
        _c.check(_lib.unishm_chown(self._c, user, group))

    # -- Facts that never change

    @property
    def size(self) -> int:
        size: int = _lib.unishm_size(self._c)
        return size

    @property
    def key(self) -> int:
        key: int = _lib.unishm_key(self._c)
        return key

    @property
    def id(self) -> int:
        id_: int = _lib.unishm_id(self._c)
        return id_

    @property
    def backend(self) -> str:
        name: bytes = _lib.unishm_backend(self._c)
        return name.decode()

    @property
    def created(self) -> bool:
        """Whether this handle made the segment."""
        created: bool = _lib.unishm_created(self._c)
        return created

    # -- Status

    def status(self) -> Status:
        """Ask for everything about the segment."""
        st = _c.Status()
        _c.check(_lib.unishm_status(self._c, ctypes.byref(st)))
        return _status(st)

    @property
    def number_attached(self) -> int:
        """How many attachments all processes have now."""
        return self.status().number_attached

    # -- The end

    @property
    def closed(self) -> bool:
        return self._handle is None

    def close(self) -> None:
        """Detach what this handle attached, and close it; the segment lives on.
        BufferError: something still refers to the bytes of an attachment."""
        if self._handle is None:
            return
        for attachment in builtins.list(self._attachments):
            if attachment._buf is not None:
                attachment.detach()
        self._handle = None

    def __enter__(self) -> Segment:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        value: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._handle is None:
            return "<unishm.Segment, closed>"
        return f"<unishm.Segment {self.id} on {self.backend}, {self.size} bytes>"


# ---- Keys and the library -------------------------------------------------------------


def _visited(call: Callable[[object], Any]) -> builtins.list[Status]:
    found: builtins.list[Status] = []
    errors: builtins.list[BaseException] = []

    def visit(st: Any, _arg: object) -> int:
        try:
            found.append(_status(st.contents))
            return 0
        except BaseException as error:
            errors.append(error)
            return -errno.ECANCELED

    rc: int = call(_c.VISIT(visit))
    if errors:
        raise errors[0]
    _c.check(rc)
    return found


def list(backend: Optional[str] = None) -> builtins.list[Status]:
    """The segments of a backend that this process may read."""
    name = _encode(backend)
    return _visited(lambda visit: _lib.unishm_list(name, visit, None))


def sweep(backend: Optional[str] = None, *, dry: bool = False) -> builtins.list[Status]:
    """Remove what makers of segments left unfinished when they died, and say what that
    was; with dry, say so only."""
    name, flags = _encode(backend), _c.SWEEP_DRY if dry else 0
    return _visited(lambda visit: _lib.unishm_sweep(name, flags, visit, None))


def key_from_name(name: Union[str, bytes]) -> int:
    """A key from any string, the same on every machine."""
    key: int = _lib.unishm_key_from_name(_encode(name))
    return key


def key_from_path(path: Union[str, bytes, os.PathLike[str]], project: int = 0) -> int:
    """A key from a file that exists, and a number."""
    key: int = _lib.unishm_key_from_path(_encode(os.fspath(path)), project)
    if key == -1:
        raise OSError(errno.ENOENT, _c.sentence())
    return key


def backends() -> builtins.list[str]:
    """What the library has, the default first."""
    names: builtins.list[str] = []
    found = _lib.unishm_backends()
    while found[len(names)]:
        names.append(found[len(names)].decode())
    return names


def version() -> str:
    """The version of the library; __version__ is that of this module."""
    text: bytes = _lib.unishm_version()
    return text.decode()
