"""``configs/inference.json`` of a bundle: what ``monai.bundle run`` does with a folder of studies."""

from __future__ import annotations

from typing import Any

# So ``vpt_plugin.export.bundle_code`` is called in a bundle. Not ``scripts``, as in others:
# Python would keep the first of that name for all bundles that one process runs.
CODE = "vptct_bundle"


def inference_config() -> dict[str, Any]:
    """The configuration; all that is about the network it takes from the bundle's metadata."""
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/studies'",
        "output_dir": "$@bundle_root + '/answers'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "clips_at_once": 1,
        "reading": "@_meta_#vptct#reading",
        "answer": "@_meta_#vptct#answer",
        "network_def": "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device)",
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
                {
                    "_target_": "Orientationd",
                    "keys": "image",
                    "axcodes": "LPS",
                    "labels": [["L", "R"], ["P", "A"], ["I", "S"]],
                },
                {"_target_": f"{CODE}.reading.PrepareSlicesd", "keys": "image", "reading": "@reading"},
            ],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": {"_target_": f"{CODE}.reading.studies_in", "folder": "@dataset_dir"},
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": {
            "_target_": f"{CODE}.answering.StudyInferer",
            "reading": "@reading",
            "answer": "@answer",
            "clips_at_once": "@clips_at_once",
        },
        "postprocessing": {
            "_target_": f"{CODE}.answering.WriteAnswerd",
            "keys": "pred",
            "folder": "@output_dir",
            "reading": "@reading",
            "answer": "@answer",
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "amp": False,
        },
        "run": ["$@evaluator.run()"],
    }
