"""Standard errors and intervals from weighted sessions: Taylor linearisation, sessions as clusters, finite populations.

A statistic is linearised: z is each session's contribution to its error. The variance is that of the total of z under
sampling without replacement with unequal probabilities (Hájek, in Deville's form): the sum over groups of
sum((1 - fraction) * (z - mean)^2) / (1 - sum(a^2)), where a is a session's part of its group's sum of 1 - fraction, and the mean
is weighted by a. If all fractions are equal, that is the textbook's n / (n - 1). A session that was certain adds nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from pulseframes.sampling.columns import AUXILIARY, CELL, FRACTION, GROUP, WEIGHT
from pulseframes.sampling.weights import effective_size, worth

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

#: Fewer sessions than these show little of their own variance.
FEW: Final = 10
#: A sum that fewer sessions than these contribute to is too uneven for Student's t.
RARE: Final = 20
#: The flags of figures to be taken as hints, whatever their intervals.
DOUBTFUL: Final = ("few sessions", "few cases", "wrong design")
#: The flag of details that were not sampled at random.
NOT_DRAWN: Final = "not drawn"
#: Relative differences below this are rounding.
_ROUNDING: Final = 1e-12


class Estimate(NamedTuple):
    """An estimate with its standard error, interval and effective number of sessions.

    If the sessions are too few to show any variance, the standard error is null and the limits are infinite. ``errors`` are the
    sessions' parts of its error, on any scale: their products with those of another estimate show how the two vary together. They
    are null without a variance.
    """

    estimate: float | None
    standard_error: float | None
    lower: float
    upper: float
    effective_sessions: float
    flag: str | None
    errors: Vector | None = None


class WeightedSample:
    """The sessions that responded, with their weights, as vectors.

    Parameters
    ----------
    sessions : polars.DataFrame
        Weighted sessions from ``weigh()``.
    calibration : array or None
        The matrix that the weights were calibrated with, one row per session; by default, the auxiliary in a column per cell.
    confidence : float
        Confidence level of the intervals.
    is_known : bool
        Whether the auxiliary of every session of the population is known.
    fits : bool
        Whether the design is one for questions such as these: if not, the sample seldom has the sessions that matter most.
    """

    def __init__(
        self,
        sessions: pl.DataFrame,
        *,
        calibration: Any = None,
        confidence: float = 0.95,
        is_known: bool = True,
        fits: bool = True,
    ) -> None:
        np = numpy()
        self.weights: Vector = sessions[WEIGHT].to_numpy().astype(float)
        self._random: Vector = 1.0 - sessions[FRACTION].to_numpy().astype(float)
        self._groups = sessions[GROUP].rank("dense").to_numpy().astype(int) - 1
        self._confidence = confidence
        self._is_known = is_known
        self._fits = fits
        self._auxiliary: Vector = sessions[AUXILIARY].to_numpy().astype(float)
        auxiliary, self._is_calibrated = self._auxiliary, calibration is not None
        if calibration is None:
            cells = sessions[CELL].rank("dense").to_numpy().astype(int) - 1
            calibration = np.zeros((len(sessions), int(cells.max(initial=-1)) + 1))
            calibration[np.arange(len(sessions)), cells] = auxiliary
        # Scaling to a total is a regression through the origin, with a variance in proportion to the auxiliary.
        root = np.sqrt(np.divide(self.weights, auxiliary, out=np.zeros_like(self.weights), where=auxiliary > 0))
        self._known: Any = calibration
        self._slopes: Any = np.linalg.pinv(calibration * root[:, None]) * root
        self._uncertain = int((self._random > 0).sum())
        self.is_census = len(sessions) > 0 and not self._uncertain

    def cluster_totals(self, owners: NDArray[np.int64], values: Vector | None = None) -> Vector:
        """Return the sum of the rows' values for each session, or their number; ``owners`` are the sessions' positions."""
        totals: Vector = numpy().bincount(owners, weights=values, minlength=len(self.weights)).astype(float)
        return totals

    def mean(self, values: Vector, base: Vector, rows: Vector) -> Estimate:
        """Estimate a ratio of two totals, from each session's part of both and its number of rows."""
        below = float(self.weights @ base)
        if below == 0:
            return _no_estimate("zero base" if rows.any() else "no sessions")
        ratio = float(self.weights @ values) / below
        residuals = values - ratio * base
        return self._t_interval(ratio, self._linearised(residuals) / below, values, rows, residuals, pool=rows != 0)

    def total(self, values: Vector, rows: Vector) -> Estimate:
        """Estimate a total, from each session's part of it and its number of rows."""
        if not len(self.weights):
            return _no_estimate()
        everyone = numpy().full(len(values), fill_value=True)
        return self._t_interval(
            float(self.weights @ values), self._linearised(values), values, rows, values, pool=everyone
        )

    def total_of(self, values: Vector, rows: Vector, auxiliary: Vector, known: float) -> Estimate:
        """Estimate the total of a group whose own auxiliary total is known, such as a country's page views: the ratio to it, scaled up.

        ``auxiliary`` is that of the group's sessions, and 0 for others.
        """
        below = float(self.weights @ auxiliary)
        if below == 0:
            return self.total(values, rows)
        ratio = float(self.weights @ values) / below
        residuals = values - ratio * auxiliary
        if numpy().array_equal(values, auxiliary) and not self.is_census:
            return self._as_known(known, rows, self._flag(rows, self._effective(values)))
        z = self._linearised(residuals) * (known / below)
        return self._t_interval(ratio * known, z, values, rows, residuals, pool=auxiliary > 0)

    def share(self, cases: Vector, rows: Vector) -> Estimate:
        """Estimate the share of rows that are cases, with Wilson's interval for the effective number of rows."""
        below = float(self.weights @ rows)
        if below == 0:
            return _no_estimate()
        share = float(self.weights @ cases) / below
        if self.is_census:
            return self._without_error(share, rows)
        errors = self._errors(self._linearised(cases - share * rows) / below)
        error = math.sqrt(float(errors @ errors))
        lower, upper = self._wilson(share, error, rows)
        fewest = min(int((cases > 0).sum()), int((rows > cases).sum()))
        shown = error if error > _ROUNDING and self._shows_variance(rows) else None
        return Estimate(share, shown, lower, upper, self._effective(rows), self._flag(rows, fewest), errors)

    def number(self, rows: Vector) -> Estimate:
        """Estimate how many sessions have rows: by their share, if few have any, or few have none."""
        some = (rows > 0).astype(float)
        share, known = self.share(some, numpy().ones_like(some)), float(self.weights.sum())
        if share.estimate is None or share.flag is None:
            return self.total(some, some)
        error = None if share.standard_error is None else known * share.standard_error
        limits = known * share.lower, known * share.upper
        return Estimate(known * share.estimate, error, *limits, self._effective(rows), share.flag, share.errors)

    def quantile(self, probability: float, values: Vector, owners: NDArray[np.int64]) -> Estimate:
        """Estimate a quantile of rows. Its interval has the values at which the share of rows up to them may be the probability."""
        np = numpy()
        if not len(values):
            return _no_estimate()
        distinct, inverse = np.unique(values, return_inverse=True)
        weights = self.weights[owners]
        heights = np.cumsum(np.bincount(inverse, weights=weights)) / weights.sum()
        position = min(int(np.searchsorted(heights, probability * (1 - _ROUNDING))), len(distinct) - 1)
        quantile, rows = float(distinct[position]), self.cluster_totals(owners)
        if self.is_census:
            return self._without_error(quantile, rows)
        above = self.cluster_totals(owners, (values > quantile).astype(float))
        cases = min(int((above > 0).sum()), int((rows > above).sum()))
        lower, upper = 0.0 if distinct[0] >= 0 else -math.inf, math.inf
        if self._shows_variance(rows):
            lower, upper = self._quantile_limits(probability, distinct, inverse, owners, rows, (lower, upper))
        effective = self._effective(rows)
        error = (upper - lower) / 2 / self._t(effective - 1)
        flag = self._flag(rows, cases) or ("few sessions" if math.isinf(error) else None)
        # More rows above a value than expected make the quantile larger.
        errors = self._errors(self._linearised(above - float(self.weights @ above) / float(self.weights @ rows) * rows))
        return Estimate(quantile, None if math.isinf(error) else error, lower, upper, effective, flag, errors)

    def _quantile_limits(
        self,
        probability: float,
        distinct: Vector,
        ranks: NDArray[np.int64],
        owners: NDArray[np.int64],
        rows: Vector,
        widest: tuple[float, float],
    ) -> tuple[float, float]:
        """Return the first value up to which the share of rows may reach the probability, and the first up to which it certainly does.

        A limit beside which there are no rows, or those of one session, shows nothing. Neighbours are between two limits, so that they differ.
        """
        numbers = range(len(distinct))

        @cache
        def limits(number: int) -> tuple[float, float]:
            below = self.cluster_totals(owners, (ranks <= number).astype(float))
            share = float(self.weights @ below) / float(self.weights @ rows)
            error = math.sqrt(self._variance(self._linearised(below - share * rows) / float(self.weights @ rows)))
            return self._wilson(share, error, rows)

        low = bisect_left(numbers, True, key=lambda number: limits(number)[1] >= probability)
        high = bisect_left(numbers, True, key=lambda number: limits(number)[0] >= probability)
        if low == high:
            low, high = low - 1, high + 1
        beyond = len(set(owners[ranks > high].tolist())) > 1
        return (float(distinct[low]) if low > 0 else widest[0]), (float(distinct[high]) if beyond else widest[1])

    def _t_interval(
        self, estimate: float, z: Vector, values: Vector, rows: Vector, residuals: Vector, *, pool: NDArray[np.bool_]
    ) -> Estimate:
        """Return Student's t interval, with degrees of freedom that depend on how evenly the sessions share in the variance.

        Sessions that do not differ (no residuals) show nothing of the others. If few sessions of the pool contribute to the sum, the
        limits are those of rare cases. If only sessions that were certain do, they show nothing of the others: no standard error.
        """
        effective, flag = self._effective(rows), self._flag(rows, self._effective(abs(values)))
        if self.is_census:
            return self._without_error(estimate, rows)
        never_negative = bool((values >= 0).all())
        floor = 0.0 if never_negative else -math.inf
        differ = float(abs(residuals).max()) > _ROUNDING * float(abs(values).max())
        if not differ or not self._shows_variance(rows):
            return Estimate(estimate, None, floor, math.inf, effective, flag or "few cases")
        errors = self._errors(z)
        parts = errors**2
        variance = float(parts.sum())
        if math.sqrt(variance) <= _ROUNDING * abs(estimate):
            if ((values != 0) & (self._random > 0)).any():
                if self._is_calibrated or numpy().array_equal(values, self._auxiliary):
                    return self._as_known(float(f"{estimate:.12g}"), rows, flag)
                return Estimate(estimate, None, floor, math.inf, effective, flag or "few cases")
            lower = estimate if never_negative else floor
            upper = self._gamma_interval(estimate, 0.0, values > 0, pool)[1] if never_negative else math.inf
            return Estimate(estimate, None, lower, upper, effective, flag)
        error = math.sqrt(variance)
        t = self._t(min(float((rows != 0).sum()) - 1.0, variance**2 / float((parts**2).sum())))
        below, above = skewed(t, float((errors**3).sum()) / error**3)
        lower, upper = max(floor, estimate - below * error), estimate + above * error
        if never_negative and 0 < int((values != 0).sum()) < min(RARE, int(pool.sum()) / 2):
            lower, upper = self._gamma_interval(estimate, variance, values > 0, pool)
        return Estimate(estimate, error, lower, upper, effective, flag, errors)

    def _as_known(self, estimate: float, rows: Vector, flag: str | None) -> Estimate:
        """Return a number, as of page views, that is the summary's in all sessions that were drawn, or is calibrated to.

        It may differ in others: in as large a share of them as a sample in which none differs leaves possible. If the known total
        lacks the counts of some sessions, nothing limits it.
        """
        unseen = self._wilson(0.0, 0.0, rows)[1]
        upper = estimate / (1 - unseen) if self._is_known and unseen < 1 else math.inf
        return Estimate(
            estimate,
            None,
            estimate * (1 - unseen),
            upper,
            self._effective(rows),
            flag or (None if self._is_known else "few cases"),
        )

    def _gamma_interval(
        self, estimate: float, variance: float, cases: NDArray[np.bool_], pool: NDArray[np.bool_]
    ) -> tuple[float, float]:
        """Return the gamma limits of a sum of few cases (Fay and Feuer); the next case may have any weight (Tiwari et al.)."""
        from scipy.special import gammaincinv

        tail = (1 - self._confidence) / 2
        unseen = self.weights[pool] * estimate / float(self.weights[cases].sum())
        lower = variance / estimate * gammaincinv(estimate**2 / variance, tail) if variance else estimate
        centre, spread = estimate + float(unseen.mean()), variance + float((unseen**2).mean())
        upper = spread / centre * gammaincinv(centre**2 / spread, 1 - tail)
        return float(min(lower, estimate)), float(max(upper, estimate))

    def _without_error(self, value: float, rows: Vector, flag: str | None = None) -> Estimate:
        return Estimate(value, 0.0, value, value, self._effective(rows), flag)

    def _shows_variance(self, rows: Vector) -> bool:
        """Whether two sessions have rows, and two were not certain to be drawn."""
        return min(int((rows != 0).sum()), self._uncertain) > 1

    def _linearised(self, values: Vector) -> Vector:
        """Return each session's contribution to the error of a total: its weighted residual from the calibration."""
        residuals: Vector = values - self._known @ (self._slopes @ values)
        return self.weights * residuals

    def _errors(self, z: Vector) -> Vector:
        """Return each session's part of the error of the total of z: their squares add up to its variance."""
        np = numpy()
        random = np.bincount(self._groups, weights=self._random)
        shares = self._random / np.where(random > 0, random, 1.0)[self._groups]
        means = np.bincount(self._groups, weights=shares * z)
        squares = np.bincount(self._groups, weights=shares**2)
        scale = 1 / np.where(squares < 1, 1 - squares, 1.0)
        errors: Vector = np.sqrt(scale[self._groups] * self._random) * (z - means[self._groups])
        return errors

    def _variance(self, z: Vector) -> float:
        errors = self._errors(z)
        return float(errors @ errors)

    def _effective(self, rows: Vector) -> float:
        return worth(self.weights * rows, self._random > 0)

    def _effective_rows(self, share: float, error: float, rows: Vector) -> float:
        """Return how many independent rows would give the same precision of a share: at most Kish's number.

        Without an error, rows show no more than their sessions do, which may be alike throughout.
        """
        if error > 0 and 0 < share < 1:
            return min(effective_size(self.weights, rows), share * (1 - share) / error**2)
        return self._effective(rows)

    def _wilson(self, share: float, error: float, rows: Vector) -> tuple[float, float]:
        t = self._t(self._effective(rows) - 1)
        number = self._effective_rows(share, error, rows)
        middle = (share + t * t / 2 / number) / (1 + t * t / number)
        half = t / (1 + t * t / number) * math.sqrt(share * (1 - share) / number + t * t / 4 / number**2)
        return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))

    def _t(self, freedom: float) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(max(freedom, 1.0), (1 + self._confidence) / 2))

    def _flag(self, rows: Vector, cases: float = FEW) -> str | None:
        """Return what makes a figure doubtful, given how many equal sessions would have as many cases as these."""
        fewest = FEW * (1 - _ROUNDING)
        if int((rows != 0).sum()) < FEW or self._effective(rows) < fewest:
            return "few sessions"
        if cases < fewest:
            return "few cases"
        return None if self._fits else "wrong design"


def skewed(t: float, skewness: float) -> tuple[float, float]:
    """Return how many standard errors below and above an estimate its limits are, by the skewness of its distribution (Hall 1992).

    A sum of skewed values is more often far too low than far too high, and without the rare large value its standard error is too small
    as well. Hall's cubic transformation of Student's t moves both limits towards the long tail: there, to between one and two times as far.
    """
    if abs(skewness) < _ROUNDING ** (1 / 2):
        return t, t
    long, short = (
        3 / abs(skewness) * abs(math.copysign(abs(inner) ** (1 / 3), inner) - 1)
        for side in (-1, 1)
        for inner in [1 + abs(skewness) * (side * t - abs(skewness) / 6)]
    )
    long = min(max(t, long), 2 * t)
    return (short, long) if skewness > 0 else (long, short)


def numpy() -> Any:
    """Return NumPy, which comes with the extra ``stats``; raise ``ImportError`` if that is not installed."""
    try:
        import numpy as np
        import scipy.special  # noqa: F401  needed later: better to fail here
    except ImportError:
        raise ImportError("Estimates need SciPy: pip install 'pulseframes[stats]'") from None
    return np


def _no_estimate(flag: str = "no sessions") -> Estimate:
    return Estimate(None, None, -math.inf, math.inf, 0.0, flag)
