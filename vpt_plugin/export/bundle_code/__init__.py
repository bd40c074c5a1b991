"""Goes along with every exported bundle, as ``vptct_bundle``: reads studies as the network's training did.

Nothing in here imports VPTCT, which who runs a bundle need not have: only MONAI, NumPy and OpenCV. So it says
again what ``vpt_plugin.ct`` says; tests hold the two against each other, bit by bit.
"""
