"""The ways to compute that must give the same numbers: as published, each exact saving alone, all together."""

from dataclasses import dataclass

from stages.infer.sonic.nets.unet.switches import Switches


@dataclass(frozen=True)
class Way:
    """Switches, and how many branches of windows go through the network at once."""

    name: str
    switches: Switches
    rows: int = 3


PLAIN = Way("plain", Switches.none())
ALL = Way("all", Switches(channels_last=True, flat_convolution=True))
WAYS = (
    PLAIN,
    Way("sdpa", Switches.none().but(sdpa=True)),
    Way("one_key", Switches.none().but(one_key=True)),
    Way("shared_context", Switches.none().but(shared_context=True)),
    Way("cached_audio", Switches.none().but(cached_audio=True)),
    Way("flat_convolution", Switches.none().but(flat_convolution=True)),
    Way("channels_last", Switches.none().but(channels_last=True)),
    Way("branch by branch", Switches.none(), rows=1),
    Way("two windows", Switches.none(), rows=6),
    ALL,
)
