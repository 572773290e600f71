"""The dock widgets for napari; importing this package loads neither napari nor Qt."""
