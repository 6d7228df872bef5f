"""How often a server had kept what it needed, by its metrics."""

import re
from collections import Counter

__all__ = ["Caches", "hit_rates", "read_caches"]

Caches = Counter[tuple[str, str]]
"""Of "vectors" and "slates" each "hit" and "miss"."""

LINE = re.compile(r'^twofold_(?:query|question)_(vectors|slates)_total\{cache="(\w+)"\} (\S+)$', re.MULTILINE)


def read_caches(metrics: str) -> Caches:
    """Return hits and misses that metrics tell of, in the text format of Prometheus; none where they tell of none."""
    return Counter({(kind, outcome): int(float(count)) for kind, outcome, count in LINE.findall(metrics)})


def hit_rates(caches: Caches) -> dict[str, float]:
    """Return the share of hits of each kind that was asked for."""
    asked = {kind: caches[kind, "hit"] + caches[kind, "miss"] for kind in ("slates", "vectors")}
    return {kind: caches[kind, "hit"] / count for kind, count in asked.items() if count}
