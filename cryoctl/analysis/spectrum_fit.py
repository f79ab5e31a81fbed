"""Net counts of each element from a summed spectrum, by fitting and not by windows.

The spectrum is modelled as line families plus bremsstrahlung, all non-negative; the Poisson likelihood is maximised by
iteratively reweighted non-negative least squares, whose fixed point solves the likelihood's own equations. Offset,
gain and resolution of the detector are refined on the way (Gauss-Newton with a prior). Uncertainties come from the
Fisher matrix of everything that was fitted, so that overlaps (N with C and O, O with Ti L, F with Fe L) widen them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import nnls

from cryoctl.analysis.blas_threads import one_blas_thread
from cryoctl.analysis.detector_response import Detector, bremsstrahlung_templates, line_templates
from cryoctl.analysis.lines import Family, by_subshell, families, family_of, split_name
from cryoctl.errors import BadInput

Float = npt.NDArray[np.float64]

STRAY_ELEMENTS = ("C", "O", "Al", "Si", "Ti", "Cr", "Fe", "Co", "Ni", "Cu", "Ga", "Pt", "Au")
"""Grid, holder, pole piece, FIB and detector: fitted where the recipe does not name them, dropped if not significant.
Stray Si of the detector's own fluorescence has the specimen's Si line: it is told apart by an empty region only."""

LOWEST_FIT_EV = 170.0
# Offset in eV, relative gain, FWHM at Mn K-alpha and of the noise in eV, tail's share and slope.
PRIOR_SIGMA = np.array([10.0, 1.5e-3, 8.0, 8.0, 0.02, 0.05])
STEPS = np.array([1.0, 1e-4, 1.0, 1.0, 0.004, 0.02])


@dataclass(frozen=True)
class SpectrumFit:
    """Result of `fit_spectrum`. Arrays over channels cover the whole axis; counts outside `first:last` were not fitted.

    `net_counts` and `_sigma` are per component name (elements asked for, their other families, strays). `templates`
    [component, channel] sum to one over all energies; `background` [channel] is the fitted bremsstrahlung in counts,
    `background_counts` its sum over the fitted channels.
    """

    elements: tuple[str, ...]
    components: tuple[str, ...]
    net_counts: dict[str, float]
    net_counts_sigma: dict[str, float]
    background_counts: float
    background_counts_sigma: float
    offset_ev: float
    offset_ev_sigma: float
    scale_ev: float
    scale_ev_sigma: float
    fwhm_mn_ka_ev: float
    fwhm_mn_ka_ev_sigma: float
    noise_fwhm_ev: float
    noise_fwhm_ev_sigma: float
    tail_fraction: float
    tail_fraction_sigma: float
    deviance: float
    degrees_of_freedom: int
    first: int
    last: int
    templates: Float
    background: Float
    model: Float


def poisson_nonnegative(
    design: Float, counts: Float, iterations: int = 40, tolerance: float = 1e-4
) -> tuple[Float, Float]:
    """Non-negative amplitudes that maximise the Poisson likelihood of counts [channel] = design [channel, n] @ a.

    Returns (amplitudes [n], model [channel]).
    """
    kernel = np.ones(5) / 5
    model = np.convolve(counts, kernel, mode="same") + max(0.2, 0.01 * float(counts.mean()))
    norm = np.sqrt((design**2).sum(axis=0))
    present = norm > 1e-12 * norm.max()
    scaled = design[:, present] / norm[present]
    amplitudes = np.zeros(scaled.shape[1])
    floor = max(1e-6 * float(counts.mean()), 1e-9)
    last = np.inf
    for _ in range(iterations):
        weighted = scaled / model[:, None]
        gram = scaled.T @ weighted
        unit = 1 / np.sqrt(np.diag(gram))
        root = np.linalg.cholesky(gram * unit[:, None] * unit[None, :] + 1e-11 * np.eye(len(unit)))
        target = solve_triangular(root, unit * (weighted.T @ counts), lower=True)
        amplitudes = unit * nnls(root.T, target, maxiter=50 * len(unit))[0]
        model = np.maximum(scaled @ amplitudes, floor)
        now = deviance(counts, model)
        if abs(last - now) < tolerance:
            break
        last = now
    full = np.zeros(design.shape[1])
    full[present] = amplitudes / norm[present]
    return full, model


def deviance(counts: Float, model: Float) -> float:
    """Twice the log-likelihood ratio of Poisson counts against their model; about the degrees of freedom if it fits."""
    seen = counts > 0
    terms = model - counts
    terms[seen] += counts[seen] * np.log(counts[seen] / model[seen])
    return float(2 * terms.sum())


@dataclass(frozen=True)
class _Calibration:
    offset_ev: float
    scale_ev: float
    detector: Detector

    def moved(self, step: Float) -> _Calibration:
        return _Calibration(
            self.offset_ev + float(step[0]),
            self.scale_ev * (1 + float(step[1])),
            replace(
                self.detector,
                fwhm_mn_ka_ev=float(np.clip(self.detector.fwhm_mn_ka_ev + step[2], 115.0, 250.0)),
                noise_fwhm_ev=float(np.clip(self.detector.noise_fwhm_ev + step[3], 15.0, 110.0)),
                tail_fraction=float(np.clip(self.detector.tail_fraction + step[4], 0.0, 0.25)),
                tail_slope=float(np.clip(self.detector.tail_slope + step[5], 0.02, 0.5)),
            ),
        )

    def since(self, other: _Calibration) -> Float:
        """The step that leads from another calibration here, bounds included."""
        a, b = self.detector, other.detector
        return np.array(
            [
                self.offset_ev - other.offset_ev,
                self.scale_ev / other.scale_ev - 1,
                a.fwhm_mn_ka_ev - b.fwhm_mn_ka_ev,
                a.noise_fwhm_ev - b.noise_fwhm_ev,
                a.tail_fraction - b.tail_fraction,
                a.tail_slope - b.tail_slope,
            ]
        )

    def design(self, lines: Sequence[Family], n_channels: int, beam_energy_ev: float) -> Float:
        edges = self.offset_ev + self.scale_ev * np.arange(n_channels + 1, dtype=np.float64)
        background = bremsstrahlung_templates(self.detector, edges, beam_energy_ev)
        return np.vstack([line_templates(lines, self.detector, edges), background]).T


@one_blas_thread
def fit_spectrum(
    counts: npt.ArrayLike,
    elements: Sequence[str],
    *,
    offset_ev: float,
    scale_ev: float,
    beam_energy_ev: float,
    detector: Detector | None = None,
    strays: Sequence[str] = STRAY_ELEMENTS,
    refine: bool = True,
) -> SpectrumFit:
    """Fit a summed spectrum.

    `counts` [channel]; energy in eV at a channel's start = offset + scale * channel. Net counts of an element are all
    counts of its family (K-alpha and K-beta, escape included). Strays whose fitted counts are below 4 sigma are
    dropped. Raises `BadInput` for a spectrum without counts in the fitted range or an element unknown.
    """
    values = np.asarray(counts, dtype=np.float64)
    axis = offset_ev + scale_ev * np.arange(values.size)
    first = int(np.searchsorted(axis, LOWEST_FIT_EV))
    last = values.size - 1  # the top channel of some processors collects overflow
    if values.ndim != 1 or last - first < 20 or values[first:last].sum() < 1:
        raise BadInput("edx spectrum: no counts above 0.17 keV; check offset_ev and scale_ev, or expose longer.")
    top_ev = float(axis[last])
    lines = _components(elements, strays, beam_energy_ev, top_ev)
    calibration = _Calibration(offset_ev, scale_ev, detector or Detector())
    wanted = {family_of(name).name for name in elements}
    fitted = _fit_once(calibration, lines, values, first, last, beam_energy_ev, refine)
    sigma = np.sqrt(np.maximum(np.diag(fitted.covariance), 0))
    kept = [
        line
        for i, line in enumerate(lines)
        if line.name in wanted or (fitted.amplitudes[i] > 4 * sigma[i] and fitted.design[first:last, i].sum() > 0.3)
    ]
    if len(kept) < len(lines):
        fitted = _fit_once(fitted.calibration, kept, values, first, last, beam_energy_ev, refine)
    return _result(fitted, kept, elements, values, first, last)


@dataclass(frozen=True)
class _Fitted:
    calibration: _Calibration
    design: Float
    amplitudes: Float
    model: Float
    covariance: Float


def _fit_once(
    calibration: _Calibration,
    lines: Sequence[Family],
    values: Float,
    first: int,
    last: int,
    beam_energy_ev: float,
    refine: bool,
) -> _Fitted:
    if refine:
        calibration = _refine(calibration, lines, values, first, last, beam_energy_ev)
    design = calibration.design(lines, values.size, beam_energy_ev)
    amplitudes, model = poisson_nonnegative(design[first:last], values[first:last])
    covariance = _covariance(calibration, lines, design, amplitudes, model, first, last, beam_energy_ev, refine)
    return _Fitted(calibration, design, amplitudes, model, covariance)


def _components(elements: Sequence[str], strays: Sequence[str], beam_energy_ev: float, top_ev: float) -> list[Family]:
    lines: dict[str, Family] = {}
    for name in elements:
        found = family_of(name)
        lines[found.name] = found
    for name in [*elements, *strays]:
        for line in families(split_name(name)[0], beam_energy_ev, top_ev):
            for part in by_subshell(line) if name not in elements else (line,):
                lines.setdefault(part.name, part)
    return list(lines.values())


def _derivatives(
    calibration: _Calibration, lines: Sequence[Family], amplitudes: Float, n: int, beam_energy_ev: float
) -> Float:
    # A line that the spectrum does not hold has no slope either.
    held = [line for line, amplitude in zip(lines, amplitudes, strict=False) if amplitude > 0]
    amplitudes = np.concatenate([amplitudes[: len(lines)][amplitudes[: len(lines)] > 0], amplitudes[len(lines) :]])
    columns: list[Float] = []
    for k, h in enumerate(STEPS):
        step = np.zeros(len(STEPS))
        step[k] = h
        above, below = calibration.moved(step), calibration.moved(-step)
        width = above.since(below)[k]
        up = above.design(held, n, beam_energy_ev) @ amplitudes
        down = below.design(held, n, beam_energy_ev) @ amplitudes
        columns.append((up - down) / width)
    return np.column_stack(columns)


def _refine(
    calibration: _Calibration, lines: Sequence[Family], values: Float, first: int, last: int, beam_energy_ev: float
) -> _Calibration:
    moved = np.zeros(len(STEPS))
    for _ in range(6):
        design = calibration.design(lines, values.size, beam_energy_ev)
        amplitudes, model = poisson_nonnegative(design[first:last], values[first:last], iterations=8, tolerance=1.0)
        slopes = _derivatives(calibration, lines, amplitudes, values.size, beam_energy_ev)[first:last]
        free = design[first:last][:, amplitudes > 0]
        norm = np.sqrt((free**2).sum(axis=0))
        joint = np.hstack([free / norm, slopes]) / np.sqrt(model)[:, None]
        rest = (values[first:last] - model) / np.sqrt(model)
        prior = np.hstack([np.zeros((len(STEPS), free.shape[1])), np.diag(1 / PRIOR_SIGMA)])
        solution = _least_squares(np.vstack([joint, prior]), np.append(rest, -moved / PRIOR_SIGMA))
        step = np.asarray(np.clip(solution[-len(STEPS) :], -PRIOR_SIGMA, PRIOR_SIGMA), dtype=np.float64)
        now = calibration.moved(step)
        moved, step = moved + now.since(calibration), now.since(calibration)
        calibration = now
        if np.all(np.abs(step) < 1e-3 * PRIOR_SIGMA):
            break
    return calibration


def _least_squares(design: Float, values: Float) -> Float:
    """By Cholesky: backgrounds that are nearly alike need the slight ridge, what is wanted of them is their sum."""
    unit = 1 / np.sqrt((design**2).sum(axis=0))
    scaled = design * unit
    gram = scaled.T @ scaled + 1e-11 * np.eye(len(unit))
    return np.asarray(unit * cho_solve(cho_factor(gram), scaled.T @ values), dtype=np.float64)


def _covariance(
    calibration: _Calibration,
    lines: Sequence[Family],
    design: Float,
    amplitudes: Float,
    model: Float,
    first: int,
    last: int,
    beam_energy_ev: float,
    refined: bool,
) -> Float:
    """Covariance of line amplitudes, of the background and of the calibration, in that order."""
    n = len(lines)
    used = np.concatenate([np.ones(n, dtype=bool), amplitudes[n:] > 0])
    columns = design[first:last][:, used]
    slopes = np.zeros((last - first, 0))
    if refined:
        slopes = _derivatives(calibration, lines, amplitudes, len(design), beam_energy_ev)[first:last]
    joint = np.hstack([columns, slopes])
    fisher = joint.T @ (joint / model[:, None])
    if refined:
        fisher[-len(STEPS) :, -len(STEPS) :] += np.diag(PRIOR_SIGMA**-2.0)
    scale = 1 / np.sqrt(np.maximum(np.diag(fisher), 1e-300))
    inverse = np.linalg.pinv(fisher * scale[:, None] * scale[None, :], rcond=1e-12, hermitian=True)
    inverse = inverse * scale[:, None] * scale[None, :]
    n_background = int(used.sum()) - n
    gather = np.zeros((n + 1 + slopes.shape[1], len(fisher)))
    gather[:n, :n] = np.eye(n)
    gather[n, n : n + n_background] = columns[:, n:].sum(axis=0)
    gather[n + 1 :, n + n_background :] = np.eye(slopes.shape[1])
    return gather @ inverse @ gather.T


def _result(
    fitted: _Fitted, lines: Sequence[Family], elements: Sequence[str], values: Float, first: int, last: int
) -> SpectrumFit:
    calibration, design, amplitudes = fitted.calibration, fitted.design, fitted.amplitudes
    model, covariance = fitted.model, fitted.covariance
    n = len(lines)
    sigma = np.sqrt(np.maximum(np.diag(covariance), 0))
    names = tuple(line.name for line in lines)
    calibrated = sigma[n + 1 :] if len(sigma) > n + 1 else np.zeros(len(STEPS))
    return SpectrumFit(
        elements=tuple(family_of(name).name for name in elements),
        components=names,
        net_counts={name: float(a) for name, a in zip(names, amplitudes, strict=False)},
        net_counts_sigma={name: float(s) for name, s in zip(names, sigma, strict=False)},
        background_counts=float((design[first:last, n:] @ amplitudes[n:]).sum()),
        background_counts_sigma=float(sigma[n]),
        offset_ev=calibration.offset_ev,
        offset_ev_sigma=float(calibrated[0]),
        scale_ev=calibration.scale_ev,
        scale_ev_sigma=float(calibrated[1]) * calibration.scale_ev,
        fwhm_mn_ka_ev=calibration.detector.fwhm_mn_ka_ev,
        fwhm_mn_ka_ev_sigma=float(calibrated[2]),
        noise_fwhm_ev=calibration.detector.noise_fwhm_ev,
        noise_fwhm_ev_sigma=float(calibrated[3]),
        tail_fraction=calibration.detector.tail_fraction,
        tail_fraction_sigma=float(calibrated[4]),
        deviance=deviance(values[first:last], model),
        degrees_of_freedom=last - first - int((amplitudes > 0).sum()),
        first=first,
        last=last,
        templates=np.ascontiguousarray(design[:, :n].T),
        background=design[:, n:] @ amplitudes[n:],
        model=design @ amplitudes,
    )
