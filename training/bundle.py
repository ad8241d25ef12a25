"""A promoted model as files that need no pickle: LightGBM's texts and ``bundle.json``.

``model.txt`` holds the trees of the win rate, ``timing.txt``, where there is one, those of when.

The server loads this with NumPy and LightGBM's compiled library alone. A bundle whose format it
does not know or whose trees do not match their hash is refused. Every score is explained, and
every explanation is checked to add up to the score it explains before it leaves.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from crm_core.errors import CrmError
from training.evaluation import sigmoid
from training.parts import Array, Encoder, LinearPart, Part, TablePart, TreePart
from training.timing import Outlook, Timing
from training.trees import TreesRefused

FORMAT = "winward.win_rate/1"
ADDITIVITY = 1e-6
Kind = Literal["model", "base_rate", "none"]
_OWN_GROUP = "other"


class BundleRefused(CrmError):
    """The files are not a bundle that this version of the program may serve."""


class ExplanationDoesNotAddUp(RuntimeError):
    """A bug: base value and contributions do not sum to the margin. Nothing may be served."""


@dataclass(frozen=True, slots=True)
class Band:
    """How sure a score is: what happened among ``deals`` deals with such scores, later on.

    Applies to margins up to ``upto``. ``low`` and ``high`` are added to the margin and bound
    the win rate of such deals with 90 % confidence.
    """

    upto: float
    low: float
    high: float
    deals: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Explained scores of n rows. ``p`` and all the numbers are NaN where ``kind`` is none.

    ``margin`` are the served log-odds; ``base_value`` plus the row of ``contributions`` (one
    column per group in ``groups``) or of ``by_feature`` is the margin. ``low`` and ``high``
    bound the win rate of deals like this one, ``similar`` says how many deals that rests on.
    """

    kind: Kind
    p: Array
    margin: Array
    base_value: float
    groups: tuple[str, ...]
    contributions: Array
    by_feature: Array
    low: Array
    high: Array
    similar: NDArray[np.int64]
    abstained: str | None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A win-rate model ready to serve: margin = a · Σ weight · part + b, p = 1/(1 + e^−margin).

    ``groups`` maps each feature to its family. ``base_margin`` is the whole answer of kind
    base_rate. ``abstained`` says what is missing when kind is none. ``card`` describes the
    model for people. ``timing`` says when deals end, None where that was not shown to hold.
    ``as_of`` is the cut it was trained at, ``fingerprint`` its data.
    """

    kind: Kind
    version: str
    as_of: str
    fingerprint: str
    features: tuple[str, ...]
    groups: dict[str, str]
    encoder: Encoder
    parts: tuple[tuple[float, Part], ...]
    slope: float
    intercept: float
    base_margin: float
    bands: tuple[Band, ...]
    abstained: str | None
    card: dict[str, Any]
    timing: Timing | None = None

    @property
    def group_names(self) -> tuple[str, ...]:
        """The families of features, in order of first appearance."""
        return tuple(dict.fromkeys(self.groups.get(name, _OWN_GROUP) for name in self.features))

    def score(self, X: Array) -> Scores:
        """Return explained scores of rows whose columns are ``features`` in order (NaN allowed).

        Raises BundleRefused for rows of another width and ExplanationDoesNotAddUp if any row's
        contributions do not sum to its margin within 1e-6.
        """
        rows = np.ascontiguousarray(X, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.features):
            raise BundleRefused(
                f"Rows of {rows.shape[-1]} features were given, the model needs "
                f"{len(self.features)}; build the features again with the model's version."
            )
        n = len(rows)
        if self.kind == "none":
            nothing = np.full(n, np.nan)
            return self._scores(nothing, np.nan, np.full(rows.shape, np.nan))
        if self.kind == "base_rate" and not self.parts:
            margin = np.full(n, self.base_margin)
            return self._scores(margin, self.base_margin, np.zeros(rows.shape))
        margin, base, by_feature = self._explain(rows)
        error = np.abs(by_feature.sum(axis=1) + base - margin)
        if n and not float(error.max()) <= ADDITIVITY:
            raise ExplanationDoesNotAddUp(
                f"Contributions miss the margin by {float(error.max()):.2e} "
                f"(model version {self.version}); nothing was scored."
            )
        return self._scores(margin, base, by_feature)

    def _explain(self, rows: Array) -> tuple[Array, float, Array]:
        encoded = self.encoder.transform(rows)
        margin = np.full(len(rows), self.intercept)
        base = self.intercept
        by_feature = np.zeros(rows.shape)
        for weight, part in self.parts:
            shares, part_base = part.contributions(encoded)
            margin += self.slope * weight * part.margin(encoded)
            by_feature += self.slope * weight * shares
            base += self.slope * weight * part_base
        return margin, base, by_feature

    def _scores(self, margin: Array, base: float, by_feature: Array) -> Scores:
        names = self.group_names
        column = np.array(
            [names.index(self.groups.get(name, _OWN_GROUP)) for name in self.features],
            dtype=np.int64,
        )
        grouped = np.zeros((len(margin), len(names)))
        for position, group in enumerate(column):
            grouped[:, group] += by_feature[:, position]
        low, high, similar = self._band(margin)
        return Scores(
            kind=self.kind,
            p=sigmoid(margin),
            margin=margin,
            base_value=float(base),
            groups=names,
            contributions=grouped,
            by_feature=by_feature,
            low=low,
            high=high,
            similar=similar,
            abstained=self.abstained,
        )

    def _band(self, margin: Array) -> tuple[Array, Array, NDArray[np.int64]]:
        if self.kind == "none" or not self.bands:
            nothing = np.full(len(margin), np.nan)
            return nothing, nothing, np.zeros(len(margin), dtype=np.int64)
        edges = np.array([band.upto for band in self.bands[:-1]])
        place = np.searchsorted(edges, margin, side="left")
        low = np.array([band.low for band in self.bands])[place]
        high = np.array([band.high for band in self.bands])[place]
        similar = np.array([band.deals for band in self.bands], dtype=np.int64)[place]
        return sigmoid(margin + low), sigmoid(margin + high), similar

    def outlook(self, X: Array, p: Array, days: Array) -> Outlook:
        """Return P(won within ``days``) and the median days to an end; NaN where not told.

        ``p`` are the served probabilities of the same rows.
        """
        if self.timing is None or self.kind != "model":
            nothing = np.full(len(X), np.nan)
            return Outlook(nothing, nothing.copy())
        return self.timing.outlook(np.ascontiguousarray(X, dtype=np.float64), p, days)

    def with_version(self, version: str) -> Bundle:
        """Return the same model under the version the registry gave it."""
        return replace(self, version=version)

    def save(self, folder: Path) -> None:
        """Write ``bundle.json`` and LightGBM's texts into an existing folder."""
        text = next((part.text for _, part in self.parts if isinstance(part, TreePart)), "")
        (folder / "model.txt").write_text(text, encoding="utf-8")
        content = {
            "format": FORMAT,
            "kind": self.kind,
            "version": self.version,
            "as_of": self.as_of,
            "fingerprint": self.fingerprint,
            "features": list(self.features),
            "groups": self.groups,
            "encoder": self.encoder.as_json(),
            "parts": [{"weight": weight, **part.as_json()} for weight, part in self.parts],
            "slope": self.slope,
            "intercept": self.intercept,
            "base_margin": self.base_margin,
            "bands": [[band.upto, band.low, band.high, band.deals] for band in self.bands],
            "abstained": self.abstained,
            "card": self.card,
            "model_sha256": _sha256(text),
        }
        if self.timing is not None:
            (folder / "timing.txt").write_text(self.timing.text, encoding="utf-8")
            content["timing"] = {**self.timing.as_json(), "sha256": _sha256(self.timing.text)}
        written = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
        (folder / "bundle.json").write_text(written, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the bundle of a folder. Raises BundleRefused: missing, unknown or damaged."""
        content, text = _read(folder)
        try:
            return cls(
                kind=content["kind"],
                version=content["version"],
                as_of=content["as_of"],
                fingerprint=content["fingerprint"],
                features=tuple(content["features"]),
                groups=content["groups"],
                encoder=Encoder.from_json(content["encoder"]),
                parts=tuple(
                    (float(part["weight"]), _part(part, text)) for part in content["parts"]
                ),
                slope=float(content["slope"]),
                intercept=float(content["intercept"]),
                base_margin=float(content["base_margin"]),
                bands=tuple(
                    Band(float(upto), float(low), float(high), int(deals))
                    for upto, low, high, deals in content["bands"]
                ),
                abstained=content["abstained"],
                card=content["card"],
                timing=_timing(folder, content.get("timing")),
            )
        except (KeyError, TypeError, ValueError, IndexError, TreesRefused) as error:
            raise BundleRefused(
                f"{folder / 'bundle.json'} is incomplete ({error}); promote the model again."
            ) from error


def load(folder: Path) -> Bundle:
    """Return the bundle of a folder. Raises BundleRefused."""
    return Bundle.load(folder)


def _read(folder: Path) -> tuple[dict[str, Any], str]:
    try:
        content = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        text = (folder / "model.txt").read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BundleRefused(
            f"No readable model lies in {folder} ({error}); promote one with 'winward promote'."
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise BundleRefused(
            f"{folder} holds a model of format {found!r}, this version serves {FORMAT!r}; "
            "promote the model again."
        )
    _check_hash(folder / "model.txt", text, content.get("model_sha256"))
    return content, text


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check_hash(path: Path, text: str, said: object) -> None:
    if _sha256(text) != said:
        raise BundleRefused(
            f"{path} does not match its hash; it was damaged or replaced. "
            "Roll back, or promote the model again."
        )


def _timing(folder: Path, content: dict[str, Any] | None) -> Timing | None:
    """Return the timing of a bundle; one promoted before timings were told has none."""
    if content is None:
        return None
    path = folder / "timing.txt"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BundleRefused(f"{path} cannot be read ({error}); promote the model again.") from error
    _check_hash(path, text, content["sha256"])
    return Timing.from_json(content, text)


def _part(data: dict[str, Any], text: str) -> Part:
    if data["kind"] == "trees":
        return TreePart.from_text(text)
    if data["kind"] == "linear":
        return LinearPart.from_json(data)
    if data["kind"] == "table":
        return TablePart.from_json(data)
    raise ValueError(f"unknown part {data['kind']!r}")
