"""What a report says of how sure answers will be: the coverage of decisions, and what studies are like."""

from __future__ import annotations

from vpt_plugin.models.conformal_record import PROMISE, ConformalRecord, MeasuredCoverage, StateCoverage
from vpt_plugin.training.report.facts import ReportFacts
from vpt_plugin.training.report.markup import Markup, joined, table, tag

_COLUMNS = ("error rate", "true state", "left in", "expected", "of one split", "studies", "unsure")


def decisions_section(facts: ReportFacts, finding: str) -> Markup:
    """How often decisions about one finding leave the true state in, and how often they are unsure."""
    record = facts.card.conformal
    if record is None:
        return tag("p", "n/a: what the validation studies were given was not kept.")
    measured = record.measured.get(finding, ())
    rows = [row for each in measured for row in _rows(each)]
    splits = measured[0].splits if measured else 0
    return joined(
        tag("p", PROMISE),
        table(
            _COLUMNS,
            rows,
            caption=f"Over {splits} random splits of the validation patients: four fifths decide about the "
            "rest",
            class_="numbers",
        ),
        tag("p", _how_far(record), class_="small"),
    )


def familiar_section(facts: ReportFacts) -> Markup:
    """What studies are like that this version knows, and from when on one is called unlike them."""
    reference = facts.reference
    if reference is None:
        return tag("p", "n/a: there were too few studies, or their features could not be measured.")
    return tag(
        "p",
        f"The features of {reference.trained} studies that it was trained on, one per patient, say what it "
        f"knows. Of these, {reference.within} lie within {reference.threshold:.2f} standard deviations; a "
        f"study that lies further away is answered with a warning. Of new studies, {reference.in_vain}.",
    )


def _rows(measured: MeasuredCoverage) -> list[tuple[str, ...]]:
    unsure = "n/a" if measured.unsure is None else _percent(measured.unsure)
    return [
        (f"{100 * measured.error_rate:g} %", state, *_cells(found), unsure)
        for state, found in (("present", measured.present), ("absent", measured.absent))
    ]


def _cells(found: StateCoverage | None) -> tuple[str, ...]:
    if found is None:
        return ("n/a: too few studies", "", "", "")
    low, high = found.one_split
    return (
        _percent(found.coverage),
        f"{_percent(found.expected)} [{_percent(found.ci95[0])}, {_percent(found.ci95[1])}]",
        f"{_percent(low)} to {_percent(high)}",
        f"{found.tested}, decided by {found.calibrating}",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _how_far(record: ConformalRecord) -> str:
    """What these figures cannot show."""
    said = (
        "The validation studies chose the epoch and the temperature, so that they had a part in making the "
        "network, and more may be wrong than that rate. Splits among them cannot show it: vpt evaluate "
        "measures the coverage on a locked test set. Where many studies get one and the same probability, "
        "more are left in than expected."
    )
    return " ".join(filter(None, (said, record.reservation)))
