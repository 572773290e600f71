"""``python -m napari_unet``: the command line, also where no script was installed."""

from .cli import main

if __name__ == "__main__":
    main()
