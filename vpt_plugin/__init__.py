"""Video-pretrained 3D networks for chest CT: the library below the MONAI Label app and the Slicer module."""

__version__ = "0.1.0"
