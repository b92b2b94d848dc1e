"""Which partition a key lies on: Kafka's murmur2 partitioner, so that one job's events are read from one partition."""

SEED = 0x9747B28C
M = 0x5BD1E995
R = 24
MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """MurmurHash2 (32 bit, Austin Appleby) with Kafka's seed, unsigned."""
    length = len(data)
    h = (SEED ^ length) & MASK
    whole = length - length % 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * M & MASK
        h = (h * M & MASK) ^ ((k ^ k >> R) * M & MASK)
    if length % 4:
        h = (h ^ int.from_bytes(data[whole:], "little")) * M & MASK
    h = (h ^ h >> 13) * M & MASK
    return h ^ h >> 15


def partition_of(key: str, partitions: int) -> int:
    """The partition of a record with that key: murmur2 made positive, modulo the topic's partition count."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
