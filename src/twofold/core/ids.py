"""The map between the ids that a caller uses and the dense codes that arrays use."""

import re
import secrets
from collections.abc import Iterable
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["Codes", "Id", "IdMap", "new_id"]

Id = str | int
Codes = npt.NDArray[np.int32]

UNKNOWN = -1
INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
"""How an integer of 64 bits is spelled, without needless signs or zeros."""


def new_id() -> str:
    """Return an id that nothing else has: 128 bits by chance, in hexadecimal digits."""
    return secrets.token_hex(16)


class IdMap:
    """A bijection between n ids and the codes 0 … n-1.

    Ids are all integers (int64) or all strings. A string that spells an integer finds the integer
    id, so that ids from a command line or a URL work; "007" spells nothing but itself.

    Args:
        ids: distinct ids, Int64 or String; the position is the code.

    >>> ids = IdMap(pl.Series([5, 4000000000]))
    >>> ids.encode([4000000000, "5", "005", 6]).tolist()
    [1, 0, -1, -1]
    >>> ids.decode([1])
    [4000000000]
    """

    def __init__(self, ids: pl.Series) -> None:
        if ids.dtype not in (pl.Int64, pl.String):
            raise ValueError(f"ids must be Int64 or String, not {ids.dtype}")
        self.ids = ids.alias("id")
        self._type: type[Id] = int if ids.dtype == pl.Int64 else str

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id_: object) -> bool:
        return self.find(id_) != UNKNOWN

    @cached_property
    def _codes(self) -> dict[Id, int]:
        return {id_: code for code, id_ in enumerate(self.ids)}

    def find(self, id_: object) -> int:
        """Return the code of one id, or -1 where it is unknown."""
        if type(id_) is self._type:
            return self._codes.get(id_, UNKNOWN)
        if isinstance(id_, bool) or not isinstance(id_, str | int | np.integer):
            return UNKNOWN
        spelled = str(id_)
        if self._type is str:
            return self._codes.get(spelled, UNKNOWN)
        return self._codes.get(int(spelled), UNKNOWN) if INTEGER.fullmatch(spelled) else UNKNOWN

    def encode(self, ids: Iterable[object]) -> Codes:
        """Return the int32 codes of ids, -1 where one is unknown."""
        return np.fromiter((self.find(id_) for id_ in ids), dtype=np.int32)

    def encode_series(self, ids: pl.Series) -> Codes:
        """Return the int32 codes of a whole column at once, -1 where an id is unknown or null; see `find`."""
        cast = ids.cast(self.ids.dtype, strict=False).alias("id")
        if ids.dtype != self.ids.dtype:
            cast = cast.set((cast.cast(ids.dtype, strict=False) != ids).fill_null(True), None)
        lookup = pl.DataFrame({"id": self.ids, "code": np.arange(len(self), dtype=np.int32)})
        found = cast.to_frame().join(lookup, on="id", how="left", maintain_order="left")
        return found["code"].fill_null(UNKNOWN).to_numpy()

    def decode(self, codes: Iterable[int] | Codes) -> list[Id]:
        """Return the ids of codes, in their order."""
        found: list[Id] = self.ids[np.asarray(codes, dtype=np.int64)].to_list()  # `gather` takes three times as long
        return found
