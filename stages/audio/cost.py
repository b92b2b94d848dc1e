"""How much work a recording may be: a small file can hold hours of samples, or millions of packets without any.

Decoding costs some 20 ns a sample of a channel and some 20 us a packet. The limits keep any file within a few seconds
of CPU, and leave room for every usual recording of the longest speech.
"""

MAX_VALUES = 240_000_000
"""Samples of all channels: 600 s of 192 kHz stereo or of eight channels at 48 kHz, 1800 s of 48 kHz stereo."""
MAX_PACKETS = 200_000
"""Packets of the sound track: 1800 s of AAC at 96 kHz have 169 000, 600 s of Opus in packets of 5 ms 120 000."""
MAX_ALL_PACKETS = 1_000_000
"""Packets of all tracks: half an hour of video with subtitles has some 200 000."""
DECODE_CPU_S = 30.0
"""CPU seconds of the whole decoding, for what no limit foresees; the kernel then ends the worker process."""


def longest_s(rate: int, channels: int) -> float:
    """Seconds of ``rate`` Hz and ``channels`` channels that have ``MAX_VALUES`` samples."""
    return MAX_VALUES / (rate * channels)
