"""From labelled studies to a published classifier: configuration, finetuning, metrics, the model store."""
