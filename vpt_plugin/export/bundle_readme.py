"""What people read of a bundle: ``docs/README.md`` and ``docs/license.txt``."""

from __future__ import annotations

from vpt_plugin import __version__
from vpt_plugin.export.bundle_metadata import PACKAGES
from vpt_plugin.export.facts import Exported
from vpt_plugin.inference.prediction import weakest_estimate

_README = """\
# {title}

{use}

Exported by VPTCT {code_version}: version {version} of `{name}`, trained on {trained_on} studies from the
pretraining `{pretraining}`. {quality}
How it does on other studies, only those can tell.

## Run it

In this folder:

    pip install {packages}
    python -m monai.bundle run --bundle_root . --meta_file configs/metadata.json \\
      --config_file configs/inference.json --dataset_dir STUDIES --output_dir ANSWERS

`STUDIES` is a folder of chest CTs in Hounsfield units, as NIfTI files. With ITK (`pip install itk`) MONAI
also reads NRRD and MHA files, and folders of DICOM files, one series each. Every study gets an answer with
the name of its file or folder, `ANSWERS/ct.nii.gz.json` of `ct.nii.gz`: the probability of each finding
{calibrated}, the decision at its threshold, and what was said of every
clip. It computes in float32, as `vpt classify --precision float32` does. `vpt classify` alone may compute in
bfloat16, which may move a probability by up to 0.01.

It answers for every volume that it is given. VPTCT also looks whether a study is a chest CT such as the
network was trained on, and says how sure an answer is; that is not in here.

## What is where

- `configs/metadata.json`: MONAI's metadata; under `vptct` how a study is read, what the numbers mean, the
  model card, and the checksums of all other files
- `configs/inference.json`: the workflow
- `models/model.ts`: the network as TorchScript, clips in and logits out
- `models/model.pt`: its weights, which `vpt import-bundle` takes
- `vptct_bundle/`: the workflow's own code, from Hounsfield units to clips and from clips to the answer

The network: {paper}.
"""

_LICENCE = """\
The code in vptct_bundle/ is part of VPTCT, under the Apache License, Version 2.0:
http://www.apache.org/licenses/LICENSE-2.0

The weights in models/ belong to whoever trained them, who says what may be done with them.
{begun}
{use}
"""


def readme(exported: Exported) -> str:
    """What a person reads first."""
    card = exported.card
    return _README.format(
        title=f"{exported.task.title} by {exported.spec.title}",
        use=exported.use(),
        code_version=__version__,
        version=card.version,
        name=exported.name,
        trained_on=card.trained_on,
        pretraining=card.pretraining,
        quality=_quality(exported),
        calibrated="(calibrated)" if card.calibrated else "(of a model that is not calibrated)",
        packages=" ".join(("monai", *PACKAGES)),
        paper=exported.spec.paper,
    )


def licence(exported: Exported) -> str:
    """What may be done with it."""
    sources = exported.spec.weights.get(exported.card.pretraining, ())
    begun = f"Their training began from published weights. {sources[0].licence}\n" if sources else ""
    return _LICENCE.format(begun=begun, use=exported.use())


def _quality(exported: Exported) -> str:
    auroc = weakest_estimate(exported.card.validation_auroc)
    if auroc is None or auroc.value != auroc.value:
        return "Its AUROC was not measured."
    low, high = auroc.ci95
    return (
        f"On {auroc.n} validation studies of that site\nits AUROC is {auroc.value:.3f} "
        f"(95 % interval {low:.3f} to {high:.3f})."
    )
