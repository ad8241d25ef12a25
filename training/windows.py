"""The later rows on which a model was judged, kept so that a challenger meets the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from training.parts import Array


@dataclass(frozen=True, slots=True)
class LaterWindow:
    """Later rows with outcomes, and what was predicted for them before.

    ``as_of`` and ``start`` in days; ``weight`` undoes censoring; ``p`` is what would have been
    served by what was known at ``start``, ``p_base`` the base rate known then.
    """

    start: float
    features: tuple[str, ...]
    X: Array
    y: Array
    weight: Array
    deal: NDArray[np.int64]
    as_of: Array
    p: Array
    p_base: Array

    def save(self, path: Path) -> None:
        """Write plain arrays (npz without objects)."""
        np.savez_compressed(
            path,
            start=np.array(self.start),
            features=np.array(self.features, dtype=np.str_),
            X=self.X,
            y=self.y,
            weight=self.weight,
            deal=self.deal,
            as_of=self.as_of,
            p=self.p,
            p_base=self.p_base,
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the window of a file; pickled content is refused."""
        with np.load(path, allow_pickle=False) as content:
            return cls(
                start=float(content["start"]),
                features=tuple(str(name) for name in content["features"]),
                X=content["X"],
                y=content["y"],
                weight=content["weight"],
                deal=content["deal"],
                as_of=content["as_of"],
                p=content["p"],
                p_base=content["p_base"],
            )
