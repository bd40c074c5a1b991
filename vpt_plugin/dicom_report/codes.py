"""The codes of a report: DICOM's and SNOMED CT's where there are such, VPTCT's own where there are none."""

from __future__ import annotations

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset

from vpt_plugin.digest import text_sha256
from vpt_plugin.tasks import FindingCode, ReadingTask
from vpt_plugin.words import in_a_sentence

OWN_SCHEME = "99VPTCT"
_LONGEST_VALUE, _LONGEST_MEANING = 16, 64

COMMENT = CodedConcept("121106", "DCM", "Comment")
PROBABILITY = CodedConcept("122157", "DCM", "Probability")
KEY_IMAGE = CodedConcept("121080", "DCM", "Best illustration of finding")
POSITIVE_IMAGE = CodedConcept("125201", "DCM", "Illustration of Finding")
CHEST_CT = CodedConcept("24627-2", "LN", "CT Chest")
NO_UNIT = CodedConcept("1", "UCUM", "no units")

THRESHOLD = CodedConcept("threshold", OWN_SCHEME, "Probability from which the finding counts as present")
DECISION = CodedConcept("decision", OWN_SCHEME, "Decision at the threshold")
ERROR_RATE = CodedConcept("error_rate", OWN_SCHEME, "Error rate chosen by the site")
CONFORMAL = CodedConcept("conformal", OWN_SCHEME, "Decision at the chosen error rate")
# As the context group Present-Absent has them (PS3.16, CID 240).
STATES = {
    "present": CodedConcept("52101004", "SCT", "Present"),
    "absent": CodedConcept("272519000", "SCT", "Absent"),
    "unsure": CodedConcept("373068000", "SCT", "Undetermined"),
}


def own_scheme() -> CodingSchemeIdentificationItem:
    """What VPTCT's own codes are, for whoever meets them in an archive."""
    return CodingSchemeIdentificationItem(
        OWN_SCHEME, name="VPTCT", responsible_organization="VPTCT, a research project"
    )


def finding_code(finding: str, task: ReadingTask) -> CodedConcept:
    """What terminologies call a finding: the task's first code for it, the others as its equivalents."""
    codes = [each for each in task.codes if each.finding == finding]
    first, *others = codes or [_own_code(finding)]
    concept = CodedConcept(first.value, first.scheme, first.meaning)
    if others:
        concept.EquivalentCodeSequence = [_item(each) for each in others]
    return concept


def _own_code(finding: str) -> FindingCode:
    # A name of a finding may be longer than a code; its beginning alone could be another one's.
    value = finding if len(finding) <= _LONGEST_VALUE else f"{finding[:9]}~{text_sha256(finding)[:6]}"
    return FindingCode(finding, OWN_SCHEME, value, in_a_sentence(finding).capitalize()[:_LONGEST_MEANING])


def _item(code: FindingCode) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item
