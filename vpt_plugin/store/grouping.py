"""From folders to studies: what belongs together, and under which id.

A study takes the id under which it has labels:

- a labelled study whose files stay keeps its id, whatever comes beside, above or below it;
- it keeps it, too, where its place moves up or down the folders, because a series came or went;
- no other examination takes over an id with labels: a newcomer in the same place gets an id of its own.

Where two studies could claim an id, or one study two, nobody takes it: labels out of sight do less harm than
labels on the wrong study. Files that are no DICOM are known by their place alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from vpt_plugin.store.ids import study_id
from vpt_plugin.store.listings import ROOT, Listing, join
from vpt_plugin.store.sightings import LabelledPlaces, Sighting, differ


@dataclass(frozen=True)
class Part:
    """A folder that belongs to a study: with all below it, or only the files directly in it."""

    folder: str
    whole: bool = True


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes:
        place: the path below the root, of a file or a folder; "" for the root itself.
        examination: StudyInstanceUID, or "".
        parts: where not all in the folder belongs to the study: what does.
        series: the series folders of an examination that has the folder around them to itself.
        id: its id.
    """

    place: str
    examination: str = ""
    parts: tuple[Part, ...] = ()
    series: tuple[str, ...] = ()
    id: str = ""

    @property
    def folders(self) -> tuple[str, ...]:
        """Those whose listings tell of the study; of a file its own path, which no listing has."""
        return tuple(part.folder for part in self.parts) or self.series or (self.place,)


@dataclass(frozen=True)
class Grouping:
    """The studies, and what those with labels are now.

    Attributes:
        studies: by id, in sorted order.
        aliases: studies by other ids under which somebody may have opened them: those that their series
            would have alone, where they have no labels yet; else the one that their place would have.
            Whoever opened an examination can save the label after another series or a label has come.
        sightings: of the labelled studies, by id.
    """

    studies: Mapping[str, Study]
    aliases: Mapping[str, Study]
    sightings: Mapping[str, Sighting]


def group_studies(listings: Mapping[str, Listing], places: LabelledPlaces) -> Grouping:
    """The studies that are in the folders.

    Args:
        listings: by path below the root; see ``Look.listings``.
        places: where labelled studies are, or were.
    """
    found = list(_studies_below_root(listings, places))
    top = listings[ROOT]
    if top.holds_dicom and (not found or places.at(ROOT)):
        # One stray file in the root must not swallow the rest.
        found.append(Study(ROOT, top.examination, (Part(ROOT, whole=False),) if found else ()))
    studies = {study.id: study for study in sorted(_with_ids(found, places), key=lambda study: study.id)}
    taken = {*studies, *places.labelled}
    return Grouping(
        studies=studies,
        aliases={
            other: study
            for study in studies.values()
            for other in _other_ids(study, places)
            if other not in taken
        },
        sightings={
            study.id: places.sighted(study.id, sighting_of(study, listings))
            for study in studies.values()
            if study.id in places.labelled
        },
    )


def _other_ids(study: Study, places: LabelledPlaces) -> Iterator[str]:
    if study.id in places.labelled:
        yield places.plain_id(study.place)
    else:
        yield from map(study_id, study.series)


def sighting_of(study: Study, listings: Mapping[str, Listing]) -> Sighting:
    """What a study of that look is to be recognised by."""
    known = {each: listings[each].slice_file for each in study.folders if each in listings}
    slices = tuple(join(folder, each.name) for folder, each in known.items() if each is not None)
    return Sighting(study.place, study.examination, slices)


def _studies_below_root(listings: Mapping[str, Listing], places: LabelledPlaces) -> Iterator[Study]:
    pending = [ROOT]
    while pending:
        folder = pending.pop()
        listing = listings.get(folder)
        if listing is None:
            continue  # It could not be read, or was seen under another name already.
        inside = [join(folder, name) for name in listing.folders]
        if folder != ROOT:
            whole = _whole_study(folder, inside, listings, places)
            if whole is not None:
                yield whole
                continue
            apart = _studies_apart(folder, inside, listings, places)
            yield from apart
            taken = {part.folder for study in apart for part in study.parts}
            inside = [each for each in inside if each not in taken]
        yield from (Study(join(folder, name)) for name in listing.files)
        pending += inside


def _whole_study(
    folder: str, inside: Sequence[str], listings: Mapping[str, Listing], places: LabelledPlaces
) -> Study | None:
    """The folder with all that is in it as one study, where it is one.

    Either it holds DICOM files, or several folders of DICOM files of one examination and nothing else.
    """
    listing = listings[folder]
    if listing.holds_dicom:
        return None if places.opens(folder, listing.examination) else Study(folder, listing.examination)
    if listing.files or len(inside) < 2 or any(each not in listings for each in inside):
        return None
    series = [each for each in inside if listings[each].holds_dicom]
    others = [listings[each] for each in inside if not listings[each].holds_dicom]
    examinations = {listings[each].examination for each in series}
    empty = not any(each.files or each.folders for each in others)
    if len(series) < 2 or not empty or len(examinations) > 1 or examinations == {""}:
        return None
    (examination,) = examinations
    # Series with labels of their own stay studies of their own, unless one alone stands for all of them.
    whole_has_labels = any(known.examination == examination for known in places.at(folder))
    swallows = (
        sum(map(places.count, series)) > 1
        or (whole_has_labels and any(map(places.has_sighted, series)))
        or any(places.opens(each, examination) for each in series)
    )
    return None if swallows else Study(folder, examination, series=tuple(series))


def _studies_apart(
    folder: str, inside: Sequence[str], listings: Mapping[str, Listing], places: LabelledPlaces
) -> list[Study]:
    """The studies that lie in a folder together with other things.

    Loose DICOM files that must not swallow what is below them, and series that were labelled as one study
    before something else came beside them.
    """
    parts: dict[str, list[Part]] = {}
    if listings[folder].holds_dicom:
        parts[listings[folder].examination] = [Part(folder, whole=False)]
    for examination in {sighting.examination for sighting in places.at(folder)} - {""}:
        series = [
            Part(each)
            for each in inside
            if each in listings
            and listings[each].holds_dicom
            and listings[each].examination == examination
            and not places.count(each)
        ]
        if len(series) + (examination in parts) > 1:
            parts.setdefault(examination, []).extend(series)
    return [Study(folder, examination, tuple(each)) for examination, each in parts.items()]


def _with_ids(found: Sequence[Study], places: LabelledPlaces) -> Iterator[Study]:
    owners = _owners(found, places)
    taken = set(places.labelled)
    for index, study in enumerate(found):
        own = owners.get(index) or places.plain_id(study.place)
        if index not in owners and own in taken:
            own = places.newcomers_id(study.place, study.examination)
        taken.add(own)
        yield replace(study, id=own)


def _owners(found: Sequence[Study], places: LabelledPlaces) -> dict[int, str]:
    """Which of the studies, by their index, has which labelled id.

    First who is where the labelled study was, then who has the id by its place, then who is the same
    examination further up or down the folders.
    """
    owners: dict[int, str] = {}
    owned: set[str] = set()
    by_place: dict[str, list[int]] = {}
    for index, study in enumerate(found):
        by_place.setdefault(study.place, []).append(index)

    def give(labelled_id: str, candidates: Iterable[int], examination: str) -> None:
        free = (index for index in candidates if index not in owners)
        fitting = [index for index in free if not differ(found[index].examination, examination)]
        if labelled_id in places.labelled and labelled_id not in owned and len(fitting) == 1:
            owners[fitting[0]] = labelled_id
            owned.add(labelled_id)

    # The plain id first, where several ids were sighted in one place.
    for each, known in sorted(
        places.sightings.items(), key=lambda item: (item[0] != places.plain_id(item[1].place), item[0])
    ):
        give(each, by_place.get(known.place, ()), known.examination)
    for place, candidates in by_place.items():
        plain = places.plain_id(place)
        give(plain, candidates, places.sightings.get(plain, Sighting(place)).examination)
    if not owned.issuperset(places.labelled):
        for index, study in enumerate(found):
            give(places.newcomers_id(study.place, study.examination), [index], study.examination)
    owners.update(_moved(found, owners, owned, places))
    return owners


def _moved(
    found: Sequence[Study], owners: Collection[int], owned: Collection[str], places: LabelledPlaces
) -> list[tuple[int, str]]:
    """The studies that went up or down the folders, and their labelled ids, where only one can be meant."""
    evidence = {each: known for each, known in places.sightings.items() if each in places.labelled}
    by_examination: dict[str, list[int]] = {}
    for index, study in enumerate(found):
        for series in study.series:
            plain = study_id(series)
            if plain in places.labelled:
                evidence.setdefault(plain, Sighting(series, study.examination))
        if study.examination and index not in owners:
            by_examination.setdefault(study.examination, []).append(index)
    pairs = [
        (index, each)
        for each, known in evidence.items()
        if each not in owned
        for index in by_examination.get(known.examination, ())
        if _is_around(known.place, found[index])
    ]
    studies, ids = Counter(index for index, _ in pairs), Counter(each for _, each in pairs)
    return [(index, each) for index, each in pairs if studies[index] == ids[each] == 1]


def _is_around(place: str, study: Study) -> bool:
    """Whether a place, other than the root, is around a study or one of those that make it up."""
    folders = [part.folder for part in study.parts if part.whole] if study.parts else [study.place]
    is_in = any(place == folder or place.startswith(f"{folder}/") for folder in folders)
    return bool(place and study.place) and (is_in or study.place.startswith(f"{place}/"))
