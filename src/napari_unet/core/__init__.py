"""The words every other room uses: axes, specs, registry, steps and errors."""
