# SPDX-License-Identifier: MIT
from __future__ import annotations

import datetime
import errno
import gc
import os
import subprocess
import sys

import pytest
import unishm
from conftest import NAME
from unishm import Segment


def attached(segment: Segment) -> int:
    gc.collect()
    return segment.status().number_attached


def test_a_segment_has_what_it_was_made_with(segment: Segment, backend: str) -> None:
    assert segment.size == 1000
    assert segment.key == unishm.key_from_name(NAME)
    assert segment.backend == backend
    assert segment.created
    with Segment(NAME) as other:
        assert not other.created
        assert other.id == segment.id
    with Segment.open_id(segment.id) as other:
        assert other.size == 1000
    assert str(segment.id) in repr(segment)


def test_failures_are_oserrors_with_a_sentence(segment: Segment) -> None:
    with pytest.raises(FileNotFoundError, match="cannot open") as caught:
        Segment(NAME + "?")
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(FileExistsError):
        Segment(NAME, create=True, exclusive=True, size=1)
    with pytest.raises(OSError) as invalid:
        Segment(NAME, size=1001)
    assert invalid.value.errno == errno.EINVAL
    with pytest.raises(OSError, match="none such"):
        Segment(NAME, backend="none such")
    with pytest.raises(OSError):
        Segment.open_id(-1)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError):
        Segment(NAME, exclusive=True)
    for wrong in ({"size": -1}, {"size": 2**64 + 1}, {"mode": 2**32 + 0o600}, {"mode": -1}):
        with pytest.raises(OverflowError):
            Segment(NAME, create=True, **wrong)  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        Segment(2**70)
    with pytest.raises(OverflowError):
        Segment.open_id(2**40)
    with pytest.raises(ValueError):
        Segment("a\0b")


def test_bytes_are_shared(segment: Segment) -> None:
    with segment.attach() as one, segment.attach(read_only=True) as two:
        assert attached(segment) == 2
        assert len(one.buf) == 1000 and one.buf.format == "B"
        one.buf[:5] = b"hello"
        assert bytes(two.buf[:5]) == b"hello"
        assert two.read_only and two.buf.readonly and one.address != two.address
        with pytest.raises(TypeError):
            two.buf[0] = 1
    assert attached(segment) == 0


def test_another_process_sees_the_bytes(segment: Segment) -> None:
    with segment.attach() as memory:
        memory.buf[:2] = b"hi"
        code = (
            "import sys, unishm\n"
            "with unishm.Segment(sys.argv[1]) as s, s.attach(read_only=True) as m:\n"
            "    print(bytes(m.buf[:2]).decode(), s.number_attached)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, NAME], capture_output=True, text=True, check=True
        )
        assert done.stdout == "hi 2\n"


def test_a_child_has_its_own_attachments(segment: Segment) -> None:
    memory = segment.attach()
    child = os.fork()
    if child == 0:
        os._exit(0 if segment.number_attached == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert segment.number_attached == 1
    memory.detach()


def test_a_view_in_use_keeps_the_attachment(segment: Segment) -> None:
    memory = segment.attach()
    part = memory.buf[10:20]
    with pytest.raises(BufferError):
        memory.detach()
    with pytest.raises(BufferError):
        segment.close()
    assert not segment.closed
    part[0] = 7
    assert memory.buf[10] == 7
    del part
    memory.detach()
    assert attached(segment) == 0
    with pytest.raises(ValueError):
        memory.buf
    with pytest.raises(ValueError):
        memory.detach()


def test_a_view_outlives_all_other_objects() -> None:
    segment = Segment(NAME, create=True, size=100)
    view = segment.attach().buf[:]
    segment.remove()
    del segment
    gc.collect()
    view[0] = 1
    assert view[0] == 1
    del view


def test_an_attachment_ends_with_its_last_reference(segment: Segment) -> None:
    memory = segment.attach()
    assert attached(segment) == 1
    del memory
    assert attached(segment) == 0


def test_close_detaches(segment: Segment) -> None:
    other = Segment(NAME)
    memory = other.attach()
    assert attached(segment) == 1
    other.close()
    other.close()
    assert attached(segment) == 0
    assert other.closed and memory.address == 0
    with pytest.raises(ValueError):
        other.status()
    assert "closed" in repr(other) and "detached" in repr(memory)


def test_an_address_can_be_chosen(segment: Segment) -> None:
    memory = segment.attach()
    address = memory.address
    with pytest.raises(OSError) as taken:
        segment.attach(address=address)
    assert taken.value.errno == errno.EINVAL
    memory.detach()
    with segment.attach(address=address + 1, round_down=True) as again:
        assert again.address == address


def test_status(segment: Segment, backend: str) -> None:
    segment.chmod(0o640)
    status = segment.status()
    assert status.backend == backend
    assert (status.size, status.mode, status.number_attached) == (1000, 0o640, 0)
    assert status.creator_process == os.getpid()
    assert (status.owner_user, status.owner_group) == (os.geteuid(), os.getegid())
    assert status.last_attach_time is None and status.last_op_process == 0
    assert not status.locked and not status.removed
    assert status.inexact <= status.emulated
    now = datetime.datetime.now(datetime.timezone.utc)
    assert status.last_change_time is not None
    assert abs(now - status.last_change_time) < datetime.timedelta(seconds=5)
    segment.attach().detach()
    assert segment.status().last_detach_time is not None
    segment.chown(os.geteuid(), -1)


def test_a_removed_segment_is_gone() -> None:
    segment = Segment(NAME, create=True, size=10)
    memory = segment.attach()
    segment.remove()
    assert segment.status().removed
    memory.detach()
    with pytest.raises(OSError) as gone:
        segment.attach()
    assert gone.value.errno == errno.EIDRM


def test_lock(segment: Segment) -> None:
    try:
        segment.lock()
    except OSError:
        pytest.skip("not allowed here")
    assert segment.status().locked
    segment.unlock()
    assert not segment.status().locked


def test_a_private_segment_is_always_new() -> None:
    with Segment(None, size=10) as one, Segment(None, size=10) as two:
        assert one.id != two.id and one.key == 0
        one.remove()
        two.remove()


@pytest.mark.parametrize("kind", ["bytes", "callable"])
def test_init_fills_a_new_segment(kind: str) -> None:
    def fill(buf: memoryview) -> None:
        buf[:3] = b"abc"

    with Segment(NAME, create=True, size=10, init=b"abc" if kind == "bytes" else fill) as made:
        with made.attach(read_only=True) as memory:
            assert bytes(memory.buf) == b"abc" + bytes(7)
        made.remove()


def test_an_exception_of_init_leaves_nothing() -> None:
    def fail(buf: memoryview) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Segment(NAME, create=True, size=10, init=fail)
    with pytest.raises(ValueError, match="do not fit"):
        Segment(NAME, create=True, size=2, init=b"abc")
    with pytest.raises(FileNotFoundError):
        Segment(NAME)


def test_list_has_the_segment(segment: Segment, backend: str) -> None:
    assert segment.id in [status.id for status in unishm.list()]
    assert segment.id in [status.id for status in unishm.list(backend)]
    with pytest.raises(OSError):
        unishm.list("none such")
    assert unishm.sweep(dry=True) == []


def test_keys_and_the_library() -> None:
    assert unishm.key_from_name("a") == unishm.key_from_name(b"a") != unishm.key_from_name("b")
    assert unishm.key_from_path("/") == unishm.key_from_path("/../", 0)
    with pytest.raises(FileNotFoundError, match="none"):
        unishm.key_from_path("/none/such")
    assert unishm.version() == unishm.__version__
    assert set(unishm.backends()) <= {"posix", "sysv"}
