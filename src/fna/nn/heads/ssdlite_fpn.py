"""SSDLite's predictions on a light feature pyramid."""

from collections.abc import Sequence

from torch import Tensor

from fna.arch.heads import Head
from fna.nn.heads.detection import Outputs
from fna.nn.heads.parts import in_turn
from fna.nn.heads.ssdlite import Predictions, small_random
from fna.nn.repeatable import upsample


class SsdLiteFpn(Predictions):
    """Top-down sums of 1x1 convolutions of the taps, further maps below, and separable predictions on all of them."""

    def __init__(self, head: Head) -> None:
        super().__init__(head)
        for name in ("class", "box"):
            small_random(self.convs[name])

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Outputs:
        """Taps, fine to coarse -> raw outputs; class 0 is the background."""
        laterals = [lateral(tap) for lateral, tap in zip(self.parts("lateral"), taps, strict=True)]
        maps: list[Tensor] = []
        for lateral, smooth in reversed(list(zip(laterals, self.parts("smooth"), strict=True))):
            maps.insert(0, in_turn(smooth, lateral + upsample(maps[0], lateral.shape[2:]) if maps else lateral))
        for extra in self.parts("extra"):
            maps.append(in_turn(extra, maps[-1]))
        return self.predict(maps)
