"""Static membership: a restarted replica keeps its partitions, and two replicas can't have one name."""

from tests.runtime.test_consumer_loop import WAIT_S, Bench, Member, bench  # noqa: F401 - a fixture
from tests.runtime.test_positions import until


def test_of_two_replicas_with_one_name_one_ends_and_says_why(bench: Bench) -> None:  # noqa: F811
    """Kafka's protocols differ in which one; the other goes on."""
    bench.send(0)
    members = [bench.member(group_instance_id="replica-0")]
    members[0].release(*members[0].wait(1))
    members.append(bench.member(group_instance_id="replica-0"))
    until(lambda: any(member.failures for member in members), "one of them ends")
    (ended,) = [member for member in members if member.failures]
    ended.thread.join(WAIT_S)
    (failure,) = ended.failures
    assert "has the same LIPSTAGE_GROUP_INSTANCE_ID; each replica needs its own" in str(failure)
    (other,) = [member for member in members if not member.failures]
    bench.send(1)
    taken = len(other.taken)
    other.release(*other.wait(taken + 1))
    until(lambda: bench.committed(1) == 1, "the other one works")


def test_restarted_replica_gets_its_partition_back_and_the_other_keeps_its_own(bench: Bench) -> None:  # noqa: F811
    first = bench.member(group_instance_id="replica-0")
    second = bench.member(group_instance_id="replica-1")
    owns(bench, first, second)
    first.close()
    before = len(second.taken)
    second.revoking.clear()
    restarted = bench.member(group_instance_id="replica-0")
    owns(bench, restarted, second)
    assert not second.revoking.is_set(), "nothing moved"
    assert len(second.taken) == before + 1


def owns(bench: Bench, *members: Member) -> None:  # noqa: F811
    """Wait until each member owns one of the two partitions."""
    before = [len(member.taken) for member in members]
    until(lambda: all(len(member.loop._owned) == 1 for member in members), "each owns one partition")
    bench.send(0, 1)
    for member, count in zip(members, before, strict=True):
        member.release(*member.wait(count + 1))
