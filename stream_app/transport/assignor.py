"""Group assignment by partition number: a number's partitions of all inputs go to one worker, and stay there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

VERSION = 0


def share(numbers: Sequence[int], owned: Mapping[str, Iterable[int]]) -> dict[str, list[int]]:
    """Partition numbers per member: counts differ by one at most; a member keeps what it owned where that allows."""
    members = sorted(owned)
    floor, extra = divmod(len(numbers), len(members))
    shares: dict[str, list[int]] = {member: [] for member in members}
    free = set(numbers)
    for member in members:
        for number in sorted(free.intersection(owned[member])):
            held = shares[member]
            if len(held) < floor or (len(held) == floor and extra > 0):
                extra -= len(held) == floor
                held.append(number)
                free.discard(number)
    for number in sorted(free):
        shares[min(members, key=lambda member: (len(shares[member]), member))].append(number)
    return shares


def co_partition_assignor() -> type[AbstractPartitionAssignor]:
    """A fresh assignor class: aiokafka keeps an assignor's state on its class, and each consumer needs its own."""

    class CoPartitionAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
        name = "co-partition"
        owned: frozenset[int] = frozenset()

        @classmethod
        def assign(
            cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
        ) -> dict[str, ConsumerProtocolMemberAssignment]:
            topics = sorted({topic for member in members.values() for topic in member.subscription})
            numbers = sorted({p for topic in topics for p in cluster.partitions_for_topic(topic) or ()})
            owned = {
                member: [int(n) for n in (metadata.user_data or b"").split()] for member, metadata in members.items()
            }
            return {
                member: ConsumerProtocolMemberAssignment(VERSION, [(topic, held) for topic in topics], b"")
                for member, held in share(numbers, owned).items()
            }

        @classmethod
        def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
            owned = b" ".join(b"%d" % number for number in sorted(cls.owned))
            return ConsumerProtocolMemberMetadata(VERSION, list(topics), owned)

        @classmethod
        def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
            cls.owned = frozenset(p for _, partitions in assignment.assignment for p in partitions)

    return CoPartitionAssignor
