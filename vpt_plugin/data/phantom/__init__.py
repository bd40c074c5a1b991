"""Phantom studies: chest CTs computed from a seed, with known truth. No patient is in them.

They show that the whole chain works, from files to an answer; they say nothing about patients, and a model
trained on them must never be used on one.

    phantom = make_phantom(7, nodule=True, contrast=False, emboli=False)
    phantom.volume.hu                     # int16 HU, (slices, rows, columns)
    phantom.labels["nodule"].findings     # present, with the patient-z ranges that show it
    phantom.lesion_mask("nodule")         # bool, as the volume: the voxels of the nodules

Modules: ``shapes`` soft-edged geometry in mm; ``anatomy``, ``organs``, ``skeleton``, ``vessels`` the patient;
``lesions`` what is looked for and ``look_alikes`` what only looks like it; ``places`` which voxels a lesion
fills; ``scanner`` table, noise, kernel; ``phantom`` puts them together; ``writers`` and ``study_set`` write
them as a site would have them.
"""

from vpt_plugin.data.phantom.phantom import Phantom, PhantomConfig, make_phantom
from vpt_plugin.data.phantom.places import LesionPlace
from vpt_plugin.data.phantom.study_set import plan_studies, write_phantom_set
from vpt_plugin.data.phantom.writers import write_dicom, write_mha, write_nifti, write_nrrd

__all__ = [
    "LesionPlace",
    "Phantom",
    "PhantomConfig",
    "make_phantom",
    "plan_studies",
    "write_dicom",
    "write_mha",
    "write_nifti",
    "write_nrrd",
    "write_phantom_set",
]
