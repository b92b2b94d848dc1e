"""After a freeze a slot may publish only once the group has confirmed the membership; the clock is given."""

import threading
import time

import pytest

from shared.runtime.consume.freeze_guard import LIMIT_S, FreezeGuard

WAIT_S = 120


class Rig:
    def __init__(self) -> None:
        self.now = 100.0
        self.guard = FreezeGuard(clock=lambda: self.now)
        self.held = True

    def slot(self) -> "Slot":
        return Slot(self)


class Slot:
    """A slot that asks in its own thread."""

    def __init__(self, rig: Rig) -> None:
        self.asked = threading.Event()
        self.answers: list[bool] = []

        def held() -> bool:
            self.asked.set()
            return rig.held

        self.thread = threading.Thread(target=lambda: self.answers.append(rig.guard.passes(held)))
        self.thread.start()
        assert self.asked.wait(WAIT_S)

    def answer(self) -> bool:
        self.thread.join(WAIT_S)
        (answer,) = self.answers
        return answer

    @property
    def waits(self) -> bool:
        # It has asked twice: the first answer was neither yes nor no.
        self.asked.clear()
        return self.asked.wait(WAIT_S)


def test_running_process_publishes_at_once() -> None:
    rig = Rig()
    rig.now += LIMIT_S / 2
    assert not rig.guard.step()
    assert rig.slot().answer()


def test_slot_that_wakes_before_the_loop_waits_for_it_and_for_the_group() -> None:
    rig = Rig()
    rig.now += 10
    slot = rig.slot()
    assert slot.waits
    assert rig.guard.step(), "the loop must commit"
    assert slot.waits
    rig.guard.confirmed()
    assert slot.answer()
    assert not rig.guard.step()


def test_slot_of_a_lost_partition_does_not_publish() -> None:
    rig = Rig()
    rig.now += 10
    slot = rig.slot()
    rig.guard.step()
    rig.held = False
    assert not slot.answer()


def test_answer_from_before_a_freeze_confirms_nothing() -> None:
    rig = Rig()
    rig.now += 10
    assert rig.guard.step()
    rig.now += 10
    rig.guard.confirmed()
    assert rig.guard.step()


def test_doubt_lasts_until_the_group_answers() -> None:
    rig = Rig()
    rig.now += 10
    rig.guard.step()
    rig.now += LIMIT_S / 2
    assert rig.guard.step()


def test_clock_goes_on_while_the_machine_is_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then `time.monotonic` stands still, and the session of the member passes."""
    started = time.clock_gettime(time.CLOCK_BOOTTIME)
    guard = FreezeGuard()
    assert not guard.step()
    monkeypatch.setattr(time, "clock_gettime", lambda clock: started + 3600 if clock == time.CLOCK_BOOTTIME else 0.0)
    assert guard.step()
