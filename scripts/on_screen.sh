#!/bin/sh
# Run a command on the screen that there is, or on a virtual one.
set -eu
if [ "$(uname -s)" != Linux ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then exec "$@"; fi
exec xvfb-run --auto-servernum --server-args="-screen 0 1920x1200x24" "$@"
