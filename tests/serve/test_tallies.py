from collections.abc import Mapping

from twofold.events import MemoryStore, Tally
from twofold.serve.tallies import Tallies


def test_summing_up_takes_a_tenth_of_the_time_at_most() -> None:
    now = 100.0

    class Large(MemoryStore):
        asked = 0

        def tally(self, experiment: str, positive: Mapping[str, float]) -> list[Tally]:
            nonlocal now
            now += 2.0
            self.asked += 1
            return [Tally(arm=experiment, units=self.asked, slates=0, positive=0, total=0.0, squares=0.0)]

    store = Large()
    tallies = Tallies(store, clock=lambda: now)
    assert tallies.of("e", {})[0].units == 1
    now += 17.9
    assert tallies.of("e", {})[0].units == 1
    assert tallies.of("other", {})[0].arm == "other"
    now += 0.2
    assert tallies.of("e", {})[0].units == 3
