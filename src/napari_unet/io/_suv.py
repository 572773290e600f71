"""Standardized uptake values of PET, by body weight.

After the vendor-neutral procedure of QIBA (RSNA Quantitative Imaging Biomarkers Alliance, FDG-PET/CT profile,
"Standardized Uptake Value (SUV)"): ``SUV = activity [Bq/ml] * weight [g] / dose [Bq]``, where the dose is decayed to
the time that the activity is corrected to: ``dose * 2 ** (-time / half-life)`` from injection to the start of the scan
where ``DecayCorrection`` is START, and as it was given where it is ADMIN.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Any, Final

from ._dicom_headers import Plane

__all__ = ["uptake"]

_GE_SCAN: Final = 0x0009100D
_PHILIPS_SUV: Final = 0x70531000
_PHILIPS_ACTIVITY: Final = 0x70531009
_DAY: Final = 86400.0
_SUV: Final = "SUV (body weight)"
_TYPES: Final = {
    "": _SUV, "BW": _SUV, "LBM": "SUV (lean body mass)", "BSA": "SUV (body surface)", "IBW": "SUV (ideal weight)",
}  # fmt: skip


class _Missing(Exception):  # noqa: N818  # no error: SUV are not always there
    """What stands between the values and SUV."""


def uptake(planes: Sequence[Plane]) -> tuple[float, str, str]:
    """Say what values have to be multiplied with to be SUV.

    Parameters
    ----------
    planes : sequence of Plane
        Of a PET series.

    Returns
    -------
    factor : float
        For values after slope and intercept; 1 where SUV cannot be computed.
    quantity : str
        What the values are then.
    remark : str
        Why there is no SUV, if there is none.
    """
    header = planes[0].header
    units = str(header.get("Units", "") or "").upper()
    if units == "GML":
        return 1.0, _TYPES.get(str(header.get("SUVType", "") or ""), "SUV"), ""
    if units == "CNTS":
        ready = _number(header, _PHILIPS_SUV)
        if ready > 0:
            return ready, _SUV, ""
        activity = _number(header, _PHILIPS_ACTIVITY)
        if activity <= 0:
            return 1.0, "counts", "The values are counts, which cannot be turned into SUV."
    elif units == "BQML":
        activity = 1.0
    else:
        return 1.0, units, f"The values are in '{units or 'no known unit'}', which cannot be turned into SUV."
    try:
        return activity * _factor(planes), _SUV, ""
    except _Missing as why:
        return activity, "Bq/ml", f"SUV cannot be computed: {why}. The values are Bq/ml."


def _factor(planes: Sequence[Plane]) -> float:
    """Return weight by dose in g/Bq."""
    header = planes[0].header
    sequence = header.get("RadiopharmaceuticalInformationSequence")
    drug = sequence[0] if sequence else {}
    weight, dose = float(header.get("PatientWeight") or 0), float(drug.get("RadionuclideTotalDose") or 0)
    half, decay = float(drug.get("RadionuclideHalfLife") or 0), str(header.get("DecayCorrection", "") or "")
    corrected = {str(word) for word in _words(header.get("CorrectedImage"))}
    for value, name in ((weight, "weight of the patient"), (dose, "injected dose")):
        if not 0 < value < math.inf:
            raise _Missing(f"the {name} is missing or zero")
    if missing := {"ATTN": "attenuation", "DECY": "decay"}.keys() - corrected:
        raise _Missing(f"it is not corrected for {' and '.join(sorted(missing))} (CorrectedImage)")
    if decay == "ADMIN":
        return 1000 * weight / dose
    if decay != "START":
        raise _Missing(f"the time it is corrected to is not known (DecayCorrection '{decay}')")
    if not 0 < half < math.inf:
        raise _Missing("the half-life is missing or zero")
    scan, given = _scan_time(planes), _given_time(header, drug)
    if scan is None or given is None:
        raise _Missing("the time of the injection or of the scan is missing")
    passed = (scan - given).total_seconds()
    if drug.get("RadiopharmaceuticalStartDateTime") in (None, "") and passed < 0:
        passed += _DAY  # over midnight: the time of the injection has no date
    if not 0 <= passed < _DAY:
        raise _Missing("the injection lies after the scan, or more than a day before it")
    return 1000 * weight / (dose * 2 ** (-passed / half))


def _scan_time(planes: Sequence[Plane]) -> datetime.datetime | None:
    """Return when the scan began: the series' time, unless that is later than a plane's (a series made afterwards)."""
    header = planes[0].header
    series = _moment(header.get("SeriesDate"), header.get("SeriesTime"))
    taken = [_moment(p.header.get("AcquisitionDate"), p.header.get("AcquisitionTime")) for p in planes]
    known = [t for t in taken if t is not None]
    if series is not None and (not known or series <= min(known)):
        return series
    private = header.get(_GE_SCAN)
    ge = _joined(str(private.value)) if private is not None else None
    return ge or (min(known) if known else None)


def _given_time(header: Any, drug: Any) -> datetime.datetime | None:
    both = str(drug.get("RadiopharmaceuticalStartDateTime") or "")
    day = header.get("SeriesDate") or header.get("AcquisitionDate")
    return _joined(both) if both else _moment(day, drug.get("RadiopharmaceuticalStartTime"))


def _joined(text: str) -> datetime.datetime | None:
    return _moment(text[:8], text[8:].partition("+")[0].partition("-")[0])


def _moment(day: Any, clock: Any) -> datetime.datetime | None:
    """Read DICOM's date (YYYYMMDD) and time (HHMMSS.ffffff, from the left as far as it is known)."""
    digits = str(clock or "").replace(":", "").strip()
    whole, _, fraction = digits.partition(".")
    try:
        start = datetime.datetime.strptime(f"{day}{whole.ljust(6, '0')}", "%Y%m%d%H%M%S") if whole else None
        return start and start + datetime.timedelta(seconds=float(f"0.{fraction or 0}"))
    except ValueError:
        return None


def _words(value: Any) -> list[str]:
    return [] if value is None else [str(value)] if isinstance(value, str) else [str(v) for v in value]


def _number(header: Any, tag: int) -> float:
    """Return a private number, which may be bytes where its kind is not known."""
    element = header.get(tag)
    try:
        raw = element.value
        return float(raw.decode("ascii").strip("\0 ") if isinstance(raw, bytes) else raw)
    except (AttributeError, TypeError, ValueError, UnicodeDecodeError):
        return 0.0
