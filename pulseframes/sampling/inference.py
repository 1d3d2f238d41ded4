"""Standard errors and intervals from weighted sessions: Taylor linearisation, sessions as clusters, finite populations.

A statistic is linearised: each session's share in its error, z, is worked out, and the variance is that of the total of z
under a sample without replacement of unequal probabilities (Hájek; in Deville's form of it): the sum over groups of
sum of (1 - fraction) * (z - mean)^2 / (1 - sum of a^2). Here a is a session's part in its group's sum of 1 - fraction, and the
mean is by a. Where all fractions are the same, that is the textbook's n / (n - 1); a session drawn for sure counts for nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from pulseframes.sampling.weights import AUXILIARY, CELL, FRACTION, GROUP, WEIGHT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

#: As a share, what is rounding.
_NOTHING: Final = 1e-12
#: Fewer sessions than these say little of their own variation.
FEW: Final = 10
#: A sum to which fewer sessions than these add anything is too uneven for Student's t.
RARE: Final = 20


class Estimated(NamedTuple):
    """A figure, its standard error and interval, and how many sessions it rests on.

    The limits are infinite where the sessions are too few to say; the standard error is null then.
    """

    estimate: float | None
    standard_error: float | None
    lower: float
    upper: float
    effective_sessions: float
    flag: str | None


class Weighted:
    """The sessions that answered, with their weights, as vectors.

    Parameters
    ----------
    sessions : polars.DataFrame
        What ``weigh()`` gives.
    calibration : array or None
        What the weights were calibrated to, a row a session; by default, the auxiliary total of each cell.
    confidence : float
        Of the intervals.
    """

    def __init__(self, sessions: pl.DataFrame, *, calibration: Any = None, confidence: float = 0.95) -> None:
        np = numpy()
        self.weights: Vector = sessions[WEIGHT].to_numpy().astype(float)
        self._free: Vector = 1.0 - sessions[FRACTION].to_numpy().astype(float)
        self._groups = sessions[GROUP].rank("dense").to_numpy().astype(int) - 1
        self._confidence = confidence
        if calibration is None:
            cells = sessions[CELL].rank("dense").to_numpy().astype(int) - 1
            calibration = np.zeros((len(sessions), int(cells.max(initial=-1)) + 1))
            calibration[np.arange(len(sessions)), cells] = sessions[AUXILIARY].to_numpy()
            # A weight that is scaled to a total is a regression through the origin, of a variance that grows with it.
            known = sessions[AUXILIARY].to_numpy()
            root = np.sqrt(np.divide(self.weights, known, out=np.zeros_like(self.weights), where=known > 0))
        else:
            root = np.sqrt(self.weights)
        self._known: Any = calibration
        self._slopes: Any = np.linalg.pinv(calibration * root[:, None]) * root
        self._varying = int((self._free > 0).sum())
        self.is_census = len(sessions) > 0 and not self._varying

    def by_session(self, owners: NDArray[np.int64], values: Vector | None = None) -> Vector:
        """Add up rows by their sessions, whose positions are given; count them, where there are no values."""
        added: Vector = numpy().bincount(owners, weights=values, minlength=len(self.weights)).astype(float)
        return added

    def mean(self, values: Vector, base: Vector, rows: Vector) -> Estimated:
        """Estimate the ratio of two totals, from each session's part in both."""
        below = float(self.weights @ base)
        if below == 0:
            return _nothing("zero base" if rows.any() else "no sessions")
        ratio = float(self.weights @ values) / below
        apart = values - ratio * base
        return self._by_t(ratio, self._linearised(apart) / below, values, rows, apart, pool=rows != 0)

    def total(self, values: Vector, rows: Vector) -> Estimated:
        """Estimate a total, from each session's part in it; ``rows`` says how many rows that is."""
        if not len(self.weights):
            return _nothing()
        everybody = numpy().full(len(values), fill_value=True)
        return self._by_t(float(self.weights @ values), self._linearised(values), values, rows, values, pool=everybody)

    def share(self, cases: Vector, rows: Vector) -> Estimated:
        """Estimate the share of rows that are cases; the interval is Wilson's, by the effective number of rows."""
        below = float(self.weights @ rows)
        if below == 0:
            return _nothing()
        share = float(self.weights @ cases) / below
        error = math.sqrt(self._variance(self._linearised(cases - share * rows) / below))
        effective = self._effective(rows)
        if self.is_census:
            return Estimated(share, 0.0, share, share, effective, None)
        lower, upper = self._wilson(share, error, rows)
        some = min(int((cases > 0).sum()), int((rows > cases).sum()))
        told = error if error > _NOTHING and self._can_tell(rows) else None
        return Estimated(share, told, lower, upper, effective, self._flag(effective, rows, some))

    def number(self, rows: Vector) -> Estimated:
        """Estimate how many sessions have such rows; ``rows`` says how many each has. Where few have, or have not, by their share."""
        some = (rows > 0).astype(float)
        found, known = self.share(some, numpy().ones_like(some)), float(self.weights.sum())
        if found.estimate is None or found.flag is None:
            return self.total(some, some)
        error = None if found.standard_error is None else known * found.standard_error
        limits = known * found.lower, known * found.upper
        return Estimated(known * found.estimate, error, *limits, self._effective(rows), found.flag)

    def quantile(self, probability: float, values: Vector, owners: NDArray[np.int64]) -> Estimated:
        """Estimate a quantile of rows, with Woodruff's interval: that of the share below it, read off the distribution.

        Parameters
        ----------
        probability : float
            Which quantile.
        values : array
            The rows' values.
        owners : array
            The position of each row's session.
        """
        np = numpy()
        if not len(values):
            return _nothing()
        order = np.argsort(values, kind="stable")
        values, owners = values[order], owners[order]
        weights = self.weights[owners]
        heights = np.cumsum(weights) / weights.sum()

        def at(height: float) -> float:
            return float(values[min(int(np.searchsorted(heights, height * (1 - 1e-12))), len(values) - 1)])

        quantile = at(probability)
        rows = self.by_session(owners)
        below = self.by_session(owners, (values <= quantile).astype(float))
        effective = self._effective(rows)
        if self.is_census:
            return Estimated(quantile, 0.0, quantile, quantile, effective, None)
        share = float(self.weights @ below) / float(weights.sum())
        error = math.sqrt(self._variance(self._linearised(below - share * rows) / float(weights.sum())))
        number = self._effective_rows(probability, error, rows)
        low, high = self._wilson(probability, error, rows)
        # Where even all of so many rows would often lie on one side of the quantile, they say nothing of the other.
        tail = (1 - self._confidence) / 2
        floor = 0.0 if values[0] >= 0 else -math.inf
        told = self._can_tell(rows)
        lower = at(low) if told and (1 - probability) ** number <= tail else floor
        upper = at(high) if told and probability**number <= tail else math.inf
        spread = (upper - lower) / 2 / self._t(self._effective(rows) - 1)
        flag = self._flag(effective, rows, None) or ("few sessions" if math.isinf(spread) else None)
        return Estimated(quantile, None if math.isinf(spread) else spread, lower, upper, effective, flag)

    def _by_t(
        self, estimate: float, z: Vector, values: Vector, rows: Vector, apart: Vector, *, pool: NDArray[np.bool_]
    ) -> Estimated:
        """Make an interval by Student's t, its degrees of freedom by how evenly the sessions share in the variance.

        Where no session is ``apart`` from the others, they do not tell how far those may be that were not drawn. Where few
        of the ``pool`` of sessions that might add to the sum do so, the limits are those of rare cases. Sessions that were
        drawn for sure do not tell of others at all: where only they add to it, there is no standard error.
        """
        np = numpy()
        effective = self._effective(rows)
        if self.is_census:
            return Estimated(estimate, 0.0, estimate, estimate, effective, None)
        parts = self._parts(z)
        variance = float(parts.sum())
        flag = self._flag(effective, rows, int((values != 0).sum()))
        never_negative = bool((values >= 0).all())
        floor = 0.0 if never_negative else -math.inf
        if not self._can_tell(rows) or float(np.abs(apart).max()) <= _NOTHING * float(np.abs(values).max()):
            return Estimated(estimate, None, floor, math.inf, effective, flag or "few cases")
        if math.sqrt(variance) <= _NOTHING * abs(estimate):
            if np.any((values != 0) & (self._free > 0)):  # known, as the number of page views is
                exactly = float(f"{estimate:.12g}")
                return Estimated(exactly, 0.0, exactly, exactly, effective, flag)
            upper = self._of_rare_cases(estimate, 0.0, values > 0, pool)[1] if never_negative else math.inf
            return Estimated(estimate, None, estimate if never_negative else floor, upper, effective, flag)
        freedom = min(float((rows != 0).sum()) - 1.0, variance**2 / float((parts**2).sum()))
        half = self._t(freedom) * math.sqrt(variance)
        lower, upper = max(floor, estimate - half), estimate + half
        if never_negative and 0 < int((values != 0).sum()) < min(RARE, int(pool.sum()) / 2):
            lower, upper = self._of_rare_cases(estimate, variance, values > 0, pool)
        return Estimated(estimate, math.sqrt(variance), lower, upper, effective, flag)

    def _of_rare_cases(
        self, estimate: float, variance: float, cases: NDArray[np.bool_], pool: NDArray[np.bool_]
    ) -> tuple[float, float]:
        """Give the gamma limits of a sum of few cases (Fay and Feuer), the next of which may weigh as any (Tiwari et al.)."""
        from scipy.stats import chi2

        tail = (1 - self._confidence) / 2
        unseen = self.weights[pool] * estimate / float(self.weights[cases].sum())
        lower = variance / 2 / estimate * chi2.ppf(tail, 2 * estimate**2 / variance) if variance else estimate
        centre, spread = estimate + float(unseen.mean()), variance + float((unseen**2).mean())
        upper = spread / 2 / centre * chi2.ppf(1 - tail, 2 * centre**2 / spread)
        return float(min(lower, estimate)), float(max(upper, estimate))

    def _can_tell(self, rows: Vector) -> bool:
        """Whether there are two sessions with such rows, and two that were not drawn for sure."""
        return min(int((rows != 0).sum()), self._varying) > 1

    def _linearised(self, values: Vector) -> Vector:
        """Give each session's part in the error of a total: weighted residuals from what is known for all."""
        residuals: Vector = values - self._known @ (self._slopes @ values)
        return self.weights * residuals

    def _parts(self, z: Vector) -> Vector:
        """Give each session's part in the variance of a total of z."""
        np = numpy()
        free = np.bincount(self._groups, weights=self._free)
        shares = self._free / np.where(free > 0, free, 1.0)[self._groups]
        means = np.bincount(self._groups, weights=shares * z)
        even = np.bincount(self._groups, weights=shares**2)
        scale = 1 / np.where(even < 1, 1 - even, 1.0)
        parts: Vector = scale[self._groups] * self._free * (z - means[self._groups]) ** 2
        return parts

    def _variance(self, z: Vector) -> float:
        return float(self._parts(z).sum())

    def _effective(self, rows: Vector) -> float:
        """Give Kish's effective number of sessions: how many with equal shares would say as much."""
        shares = self.weights * rows
        squares = float((shares**2).sum())
        return float(shares.sum()) ** 2 / squares if squares else 0.0

    def _effective_rows(self, share: float, error: float, rows: Vector) -> float:
        """Give how many rows, drawn one by one, would say as much of a share; uneven weights alone allow no more."""
        squares = float((self.weights**2 * rows).sum())
        most = float(self.weights @ rows) ** 2 / squares if squares else 0.0
        return min(most, share * (1 - share) / error**2) if error > 0 and 0 < share < 1 else most

    def _wilson(self, share: float, error: float, rows: Vector) -> tuple[float, float]:
        t = self._t(self._effective(rows) - 1)
        number = self._effective_rows(share, error, rows)
        middle = (share + t * t / 2 / number) / (1 + t * t / number)
        half = t / (1 + t * t / number) * math.sqrt(share * (1 - share) / number + t * t / 4 / number**2)
        return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))

    def _t(self, freedom: float) -> float:
        from scipy.stats import t

        return float(t.ppf((1 + self._confidence) / 2, max(freedom, 1.0)))

    def _flag(self, effective: float, rows: Vector, cases: int | None) -> str | None:
        if int((rows != 0).sum()) < FEW or effective < FEW:
            return "few sessions"
        return "few cases" if cases is not None and cases < FEW else None


def numpy() -> Any:
    """Give NumPy, which comes with the extra that estimates need.

    Raises
    ------
    ImportError
        If it, or SciPy, is not installed.
    """
    try:
        import numpy as np
        import scipy.stats  # noqa: F401  what else is needed: said here rather than half-way
    except ImportError:
        raise ImportError("Estimates need SciPy: pip install 'pulseframes[stats]'") from None
    return np


def _nothing(flag: str = "no sessions") -> Estimated:
    """Say that there is nothing to estimate from."""
    return Estimated(None, None, -math.inf, math.inf, 0.0, flag)
