#!/bin/sh
# Bring this checkout's .venv up to date, and check that a screen, real or virtual, can be drawn on.
#
#   scripts/setup.sh [--screen] EXTRA...      e.g. scripts/setup.sh --screen all test lint
#
# A second call does nothing as long as pyproject.toml and constraints.txt stay as they are.
# PYTHON names the interpreter to build .venv with. pip's own settings (PIP_EXTRA_INDEX_URL ...) are honored.
set -eu
cd "$(dirname "$0")/.."

VENV=.venv
# Known good on Debian 12. Qt's own message about xcb-cursor is misleading; what ldd says below is right.
SYSTEM_PACKAGES="xvfb xauth libxcb-cursor0 libegl1 libdbus-1-3 libfontconfig1 libglib2.0-0 libxcb-icccm4
 libxcb-keysyms1 libxcb-shape0 libxcb-xkb1 libxkbcommon-x11-0"

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "setup: $*"
    exit 1
}

apt_works() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
apt_install() {
    say "Installing system packages: $*"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } \
        </dev/null >&2
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer was not found. Install it, or name it: make PYTHON=/path/to/python3"
}

make_venv() {
    if new_enough $VENV/bin/python && $VENV/bin/python -m pip --version >/dev/null 2>&1; then return; fi
    python=$(find_python)
    say "Creating $VENV with $($python --version)"
    if "$python" -m venv --clear $VENV >/dev/null 2>&1; then return; fi
    # Debian and Ubuntu keep venv's pip in a package of its own.
    if apt_works; then apt_install python3-venv; fi
    "$python" -m venv --clear $VENV || fail "$python cannot make virtual environments. On Debian: apt install python3-venv"
}

install_extras() {
    wanted=$(cat pyproject.toml constraints.txt | cksum)
    list=""
    fresh=true
    for extra in "$@"; do
        list="${list:+$list,}$extra"
        [ "$(cat "$VENV/.installed-$extra" 2>/dev/null)" = "$wanted" ] || fresh=false
    done
    if $fresh; then return; fi
    say "Installing napari-unet-suite[$list] into $VENV (about a minute, or as long as the downloads take)"
    # A person sees the downloads, a log only what went wrong.
    quiet=-qq
    if [ -t 2 ]; then quiet=; fi
    # The pip that comes with older Pythons works twice as long to choose the versions; it serves where no newer one is found.
    $VENV/bin/python -m pip install -qq --disable-pip-version-check --retries 1 --upgrade pip </dev/null >/dev/null 2>&1 || true
    # pip compiles all that it installs on one core, and nothing of this checkout: compileall takes all cores for both.
    $VENV/bin/python -m pip install $quiet --no-compile --disable-pip-version-check --constraint constraints.txt \
        --editable ".[$list]" </dev/null >&2 || fail "pip could not install everything; its message is above."
    # Their tests, a fifth of all, and examples that no Python of today compiles are needed by nobody.
    $VENV/bin/python -m compileall -q -j 0 -x '[/\\]tests?[/\\]' $VENV/lib src >/dev/null 2>&1 || true
    for extra in "$@"; do echo "$wanted" >"$VENV/.installed-$extra"; done
}

missing_for_screen() {
    if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
        for tool in xvfb-run xauth; do command -v $tool >/dev/null || echo "$tool"; done
    fi
    for library in $VENV/lib/python3*/site-packages/PyQt6/Qt6/plugins/platforms/libqxcb.so; do
        if [ -e "$library" ]; then ldd "$library" | awk '/not found/ { print $1 }'; fi
    done
}
check_screen() {
    [ "$(uname -s)" = Linux ] || return 0
    missing=$(missing_for_screen)
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086  # a list of words
    if apt_works; then apt_install $SYSTEM_PACKAGES && missing=$(missing_for_screen); fi
    # shellcheck disable=SC2086
    [ -z "$missing" ] || fail "these are missing for drawing on a screen: $(echo $missing). On Debian or Ubuntu:
  sudo apt install $(echo $SYSTEM_PACKAGES)"
}

screen=false
if [ "${1:-}" = --screen ]; then
    screen=true
    shift
fi
[ $# -gt 0 ] || fail "name at least one extra of pyproject.toml, e.g. all"
make_venv
install_extras "$@"
if $screen; then check_screen; fi
