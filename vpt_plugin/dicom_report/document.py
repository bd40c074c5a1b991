"""The structured report itself, put together by highdicom.

Template TID 1500, "Measurement Report": who observed (a program, with its version), the finding coded, its
probability as a measurement with a unit, the decision as a coded evaluation, the positive slices as images.
"""

from __future__ import annotations

import math
from datetime import datetime, tzinfo

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    ContentItem,
    DeviceObserverIdentifyingAttributes,
    ImageContentItem,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dicom_codes

from vpt_plugin import __version__
from vpt_plugin.ct.suitability import UNFIT, Suitability
from vpt_plugin.dicom_report import codes
from vpt_plugin.dicom_report.source import COPIED, ReportSource, SourceSlice
from vpt_plugin.dicom_report.uids import content_text, uid_of_facts
from vpt_plugin.inference.prediction import FindingPrediction, Prediction
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.tasks import ReadingTask

NOT_FOR_CLINICAL_USE = (
    "Not for clinical use: made by a research program that is not a medical device. Nobody has checked it."
)
# Behind whatever a scanner and a workstation number by themselves.
_SERIES_NUMBER = 99000
# What a probability is told to. More would be noise: other hardware moves the fifth decimal.
_DECIMALS = 3
_MOST_DECIMALS = 14  # that a value of 16 letters has room for
_LONGEST_DESCRIPTION = 64


def document_of(
    prediction: Prediction, source: ReportSource, task: ReadingTask, created: datetime
) -> Dataset:
    """The report; arguments as of ``report_of``."""
    card = prediction.card
    content = _content(prediction, source, task)
    instance_uid = _instance_uid(source, content[0])
    report = ComprehensiveSR(
        evidence=_evidence(source),
        content=content[0],
        # Of its own: in one series two answers would be two instances of the same number.
        series_instance_uid=uid_of_facts("report series", instance_uid),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=instance_uid,
        instance_number=1,
        manufacturer="VPTCT",
        manufacturer_model_name="VPTCT",
        software_versions=__version__,
        series_description=_series_description(card),
        coding_schemes=[codes.own_scheme()],
        is_complete=True,
    )
    _set_patient(report, source)
    _set_time(report, created, source.zone)
    return report


def _model_name(card: ModelCard) -> str:
    return f"{card.task}/{card.model} version {card.version}"


def _series_description(card: ModelCard) -> str:
    begin, end = "Research only: VPTCT ", f" version {card.version}"
    # A long name gives way, the version does not: it is what tells two reports apart.
    return begin + f"{card.task}/{card.model}"[: _LONGEST_DESCRIPTION - len(begin + end)] + end


def _of_version(card: ModelCard, source: ReportSource) -> tuple[str, ...]:
    return source.study_uid, source.series_uid, card.task, card.model, str(card.version), card.weights_sha256


def _instance_uid(source: ReportSource, root: Dataset) -> str:
    instances = sorted(each.instance_uid for each in source.slices)
    return uid_of_facts("report", source.study_uid, source.series_uid, *instances, content_text(root))


def _evidence(source: ReportSource) -> list[Dataset]:
    """Stand-ins for the slices. They say nothing of the patient, whose attributes are set as they are:
    highdicom refuses those that break the rules of DICOM, which studies do."""
    return [_stand_in(each, source) for each in source.slices]


def _stand_in(each: SourceSlice, source: ReportSource) -> Dataset:
    item = Dataset()
    item.SOPClassUID, item.SOPInstanceUID = each.class_uid, each.instance_uid
    item.StudyInstanceUID, item.SeriesInstanceUID = source.study_uid, source.series_uid
    item.PatientID = item.PatientName = item.PatientBirthDate = item.PatientSex = ""
    item.AccessionNumber = item.StudyID = ""
    item.StudyDate = item.StudyTime = None
    return item


def _set_patient(report: Dataset, source: ReportSource) -> None:
    # Every letter that any study is written in.
    report.SpecificCharacterSet = "ISO_IR 192"
    for keyword in COPIED:
        if keyword in source.patient:
            value = source.patient[keyword]
            several = value if isinstance(value, str) else list(value)
            report.add(DataElement(keyword, dictionary_VR(keyword), several, validation_mode=config.IGNORE))


def _set_time(report: Dataset, created: datetime, zone: tzinfo | None) -> None:
    """When it was made, in the study's time zone: there is one for all times of an object (PS3.3, C.12.1)."""
    at = created.astimezone(zone)
    report.ContentDate = report.SeriesDate = at.strftime("%Y%m%d")
    report.ContentTime = report.SeriesTime = at.strftime("%H%M%S")
    report.TimezoneOffsetFromUTC = at.strftime("%z")


def _content(prediction: Prediction, source: ReportSource, task: ReadingTask) -> MeasurementReport:
    card = prediction.card
    observer = DeviceObserverIdentifyingAttributes(
        uid=uid_of_facts(
            "observer", card.task, card.model, str(card.version), card.weights_sha256, __version__
        ),
        name=f"VPTCT {_model_name(card)}",
        manufacturer_name="VPTCT, a research project",
        model_name=f"VPTCT {__version__}",
    )
    report = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(dicom_codes.DCM.Device, observer)
        ),
        procedure_reported=codes.CHEST_CT,
        imaging_measurements=[_group(each, prediction, source, task) for each in prediction.findings],
        title=dicom_codes.DCM.ImagingMeasurementReport,
    )
    _insert_remarks(report[0].ContentSequence, prediction)
    return report


def _insert_remarks(items: list[ContentItem], prediction: Prediction) -> None:
    """What a reader must know first: before the measurements, which are the last item."""
    remarks = [NOT_FOR_CLINICAL_USE]
    if prediction.suitability is not None:
        remarks.append(f"Is this study one for this model: {prediction.suitability.verdict}.")
    remarks += [f"Warning: {each}" for each in prediction.warnings]
    for remark in remarks:
        items.insert(len(items) - 1, _text(remark))


def _group(
    finding: FindingPrediction, prediction: Prediction, source: ReportSource, task: ReadingTask
) -> MeasurementsAndQualitativeEvaluations:
    state, code = _state(finding, prediction.suitability), codes.finding_code(finding.name, task)
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=uid_of_facts("finding", *_of_version(prediction.card, source), finding.name),
            identifier=finding.name,
        ),
        # Whoever reads nothing but the finding takes it for found.
        finding_type=code if state == "present" else None,
        algorithm_id=_algorithm(prediction, finding.name),
        measurements=_measurements(finding),
        qualitative_evaluations=[
            QualitativeEvaluation(code, codes.STATES[state]),
            *_evaluations(finding),
        ],
    )
    items = group[0].ContentSequence
    if finding.conformal is not None:
        items.append(_text(finding.conformal.why))
    if finding.decision == "present":
        items.append(_text(_where(finding)))
        items.extend(_images(finding, source))
    return group


def _state(finding: FindingPrediction, suitability: Suitability | None) -> str:
    """What is said of the finding to those who know no codes of ours: what all of its decisions say.

    Of a study about which an answer means nothing nobody is told that it has, or has not, what was asked.
    """
    if suitability is not None and suitability.verdict == UNFIT:
        return "unsure"
    if finding.conformal is None or finding.conformal.decision == finding.decision:
        return finding.decision
    return "unsure"


def _algorithm(prediction: Prediction, finding: str) -> AlgorithmIdentification:
    card, computed = prediction.card, prediction.computed
    auroc = card.validation_auroc.get(finding)
    parameters = [
        f"Computed by VPTCT {__version__} in {computed.get('precision', 'unknown')} precision",
        f"Weights SHA-256 {card.weights_sha256 or 'not known'}",
        f"Pretraining {card.pretraining}, finetuned on {card.trained_on} "
        f"{'synthetic phantoms, no patients' if card.synthetic else 'studies'}",
        f"Probabilities {'' if card.calibrated else 'not '}calibrated",
        f"Validation AUROC {_figure(auroc) if auroc else 'not known'}",
    ]
    return AlgorithmIdentification(f"VPTCT {card.task}/{card.model}", str(card.version), parameters)


def _figure(estimate: Estimate) -> str:
    low, high = estimate.ci95
    if math.isnan(estimate.value):
        return "undefined"
    interval = "no interval" if math.isnan(low) else f"95 % interval {low:.2f} to {high:.2f}"
    return f"{estimate.value:.2f} ({interval}, {estimate.n} studies)"


def _measurements(finding: FindingPrediction) -> list[Measurement]:
    numbers = [(codes.PROBABILITY, _told(finding)), (codes.THRESHOLD, finding.threshold)]
    if finding.conformal is not None:
        numbers.append((codes.ERROR_RATE, finding.conformal.error_rate))
    # A card may say that no threshold could be chosen, and DICOM knows no such number.
    return [Measurement(name, value, codes.NO_UNIT) for name, value in numbers if math.isfinite(value)]


def _told(finding: FindingPrediction) -> float:
    """The probability to as few digits as leave it on its side of the threshold."""
    for decimals in range(_DECIMALS, _MOST_DECIMALS + 1):
        told = round(finding.probability, decimals)
        if (told >= finding.threshold) == (finding.decision == "present"):
            return told
    return finding.probability


def _evaluations(finding: FindingPrediction) -> list[QualitativeEvaluation]:
    said: list[tuple[CodedConcept, str]] = [(codes.DECISION, finding.decision)]
    if finding.conformal is not None:
        said.append((codes.CONFORMAL, finding.conformal.decision))
    return [QualitativeEvaluation(name, codes.STATES[state]) for name, state in said]


def _where(finding: FindingPrediction) -> str:
    ranges = ", ".join(f"{low:.1f} to {high:.1f}" for low, high in finding.evidence_mm)
    return (
        f"Look first at the slice at {finding.key_slice_mm:.1f} mm; clips at or above the threshold: "
        f"{ranges} mm (patient z, plus is towards the head)."
    )


def _images(finding: FindingPrediction, source: ReportSource) -> list[ImageContentItem]:
    """The slice to look at first, then all of the clips that speak for the finding."""
    key = source.nearest(finding.key_slice_mm)
    positive = [each for low, high in finding.evidence_mm for each in source.between(low, high)]
    return [
        *([_image(codes.KEY_IMAGE, key)] if key else []),
        *(_image(codes.POSITIVE_IMAGE, each) for each in positive),
    ]


def _image(name: CodedConcept, each: SourceSlice) -> ImageContentItem:
    return ImageContentItem(
        name, each.class_uid, each.instance_uid, relationship_type=RelationshipTypeValues.CONTAINS
    )


def _text(text: str) -> TextContentItem:
    return TextContentItem(codes.COMMENT, text, relationship_type=RelationshipTypeValues.CONTAINS)
