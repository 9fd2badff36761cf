"""Requests are refused while memory is short, and let in again once there is enough."""

import mmap
from contextlib import ExitStack
from pathlib import Path

import pytest

from medxgan.server import shedding
from medxgan.server.errors import MemoryShortageError
from medxgan.server.shedding import MemoryBound, Shedding, memory_bound, resident_bytes


class Memory:
    """So many bytes are in use; time goes on by itself between two measurements."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.used = self.measured = self.given_back = self.now = 0
        monkeypatch.setattr(shedding.time, "monotonic", lambda: self.now)

    def measure(self) -> int:
        self.measured += 1
        return self.used

    def give_back(self) -> None:
        self.given_back += 1

    def shedding(self) -> Shedding:
        return Shedding(MemoryBound(1000, self.measure), 2.5, self.give_back)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    return Memory(monkeypatch)


def is_refused(shedding: Shedding) -> bool:
    try:
        with shedding.request():
            return False
    except MemoryShortageError:
        return True


def test_what_is_refused_once_is_refused_until_there_is_clearly_enough(memory: Memory) -> None:
    shedding = memory.shedding()
    with shedding.request():
        for used, refused in ((1000, False), (1001, True), (960, True), (951, True), (950, False), (1000, False)):
            memory.used = used
            memory.now += 10
            assert is_refused(shedding) is refused, used
    assert memory.given_back == 3


def test_one_request_is_let_in_however_short_memory_is(memory: Memory) -> None:
    shedding, memory.used = memory.shedding(), 2000
    for _ in range(3):
        memory.now += 10
        with shedding.request():
            assert is_refused(shedding)
    with ExitStack() as under_way:
        under_way.enter_context(shedding.request())
        with pytest.raises(MemoryShortageError) as refused:
            under_way.enter_context(shedding.request())
    assert refused.value.retry_delay == 2.5


def test_memory_is_not_measured_for_every_request(memory: Memory) -> None:
    shedding = memory.shedding()
    memory.now += 10
    for _ in range(100):
        assert not is_refused(shedding)
    assert memory.measured == 1


def test_without_a_bound_nothing_is_refused() -> None:
    shedding = Shedding(None)
    with shedding.request(), shedding.request():
        pass


def test_the_bound_that_is_set_is_on_this_process(tmp_path: Path) -> None:
    bound = memory_bound(2**30, tmp_path / "absent")
    assert bound is not None
    assert bound.most == 2**30
    before = bound.measure()
    with mmap.mmap(-1, 2**26) as content:  # not of the heap, which may have as much to spare
        content.write(bytes(2**26))
        assert resident_bytes() - before > 2**25


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """The control group of a container, as Linux tells of it."""
    (tmp_path / "membership").write_text("0::/pods/ours\n")
    group = tmp_path / "groups" / "pods" / "ours"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("1000000\n")
    (group / "memory.current").write_text("700000\n")
    (group / "memory.stat").write_text("anon 400000\ninactive_file 200000\nactive_file 100000\n")
    return group


def test_else_it_is_a_share_of_what_the_control_group_may_have(group: Path, tmp_path: Path) -> None:
    bound = memory_bound(0, tmp_path / "membership", tmp_path / "groups")
    assert bound is not None
    assert (bound.most, bound.measure()) == (900_000, 500_000)


@pytest.mark.parametrize(
    ("file", "content"),
    [("groups/pods/ours/memory.max", "max\n"), ("membership", "4:memory:/old\n0::/elsewhere\n"), ("membership", "")],
)
def test_there_is_none_where_nothing_states_a_limit(group: Path, tmp_path: Path, file: str, content: str) -> None:
    (tmp_path / file).write_text(content)
    assert memory_bound(0, tmp_path / "membership", tmp_path / "groups") is None
