#!/usr/bin/env bash
# Runs a command on a desktop without a screen: X server, window manager, panel with a tray, notifications, and an unlocked
# keyring, on a D-Bus session and in a home folder of its own. All of it is gone when the command has ended.
#
#     scripts/desktop.sh [--home DIR [--hosts NAMES]] COMMAND [ARGUMENT…]
#
# The command finds its home in HOME and, for what it wants to keep, the caller's folder as its working directory. --home says
# what the home folder is to be called, and --hosts which host names lead to this machine, for pictures; only root can have that
# (both are there for the command alone).
set -euo pipefail

home=
hosts=
while :; do
    case "${1:-}" in
    --home) home=$2 ;;
    --hosts) hosts=$2 ;;
    *) break ;;
    esac
    shift 2
done
[ $# -gt 0 ] || { echo "usage: scripts/desktop.sh [--home DIR [--hosts NAMES]] COMMAND [ARGUMENT…]" >&2; exit 2; }
if [ -n "$home" ] && [ "$(id -u)" = 0 ] && [ -z "${HOWDAH_DESKTOP_STAGE:-}" ]; then
    HOWDAH_DESKTOP_STAGE=own-mounts exec unshare --mount --propagation private -- "$0" --home "$home" --hosts "$hosts" "$@"
fi

if [ "${HOWDAH_DESKTOP_STAGE:-}" != inside ]; then
    for program in Xvfb dbus-run-session openbox tint2 dunst gnome-keyring-daemon; do
        command -v "$program" >/dev/null || { echo "$program is missing; run: make setup" >&2; exit 1; }
    done
    root=$(mktemp -d "${TMPDIR:-/tmp}/howdah-desktop.XXXXXX")
    # Passable: as root, PostgreSQL runs as another user, and its cluster lies below.
    chmod 711 "$root"
    mkdir -m 700 "$root/run"
    if [ "${HOWDAH_DESKTOP_STAGE:-}" = own-mounts ]; then
        mount -t tmpfs howdah-desktop "$(dirname "$home")"
        if [ -n "$hosts" ]; then
            { cat /etc/hosts; echo "127.0.0.1 $hosts"; } >"$root/hosts"
            chmod 644 "$root/hosts"
            mount --bind "$root/hosts" /etc/hosts
        fi
    else
        home=$root/home
    fi
    mkdir -m 700 "$home"
    # One face for the pictures wherever they are taken, drawn as a desktop draws it: not squeezed onto whole pixels.
    mkdir -p "$home/.config/fontconfig"
    cat >"$home/.config/fontconfig/fonts.conf" <<'FONTS'
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <match target="pattern">
    <test name="family"><string>system-ui</string></test>
    <edit name="family" mode="assign" binding="strong"><string>Inter</string></edit>
  </match>
  <match target="pattern">
    <test name="family"><string>Cantarell</string></test>
    <edit name="family" mode="assign" binding="strong"><string>Inter</string></edit>
  </match>
  <match target="font">
    <edit name="hinting" mode="assign"><bool>false</bool></edit>
    <edit name="hintstyle" mode="assign"><const>hintnone</const></edit>
    <edit name="antialias" mode="assign"><bool>true</bool></edit>
  </match>
</fontconfig>
FONTS
    xvfb=
    # shellcheck disable=SC2317,SC2329 # called by the trap
    clean() {
        [ -z "$xvfb" ] || kill "$xvfb" 2>/dev/null || true
        [ -z "$xvfb" ] || wait "$xvfb" 2>/dev/null || true
        rm -rf "$root"
    }
    trap clean EXIT

    # The X server picks a free display itself and says which.
    mkfifo "$root/display"
    Xvfb -displayfd 3 -screen 0 1400x1000x24 -nolisten tcp 3>"$root/display" 2>"$root/xvfb.log" &
    xvfb=$!
    read -r -t 20 display <"$root/display" || { echo "Xvfb did not start:" >&2; cat "$root/xvfb.log" >&2; exit 1; }

    status=0
    # Cargo and rustup are found where they were, although HOME moves.
    env -u WAYLAND_DISPLAY -u XDG_CONFIG_HOME -u XDG_CACHE_HOME -u XDG_STATE_HOME -u XDG_DATA_HOME -u DBUS_SESSION_BUS_ADDRESS \
        CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" \
        HOME="$home" XDG_RUNTIME_DIR="$root/run" TMPDIR="$root" DISPLAY=":$display" \
        GDK_BACKEND=x11 NO_AT_BRIDGE=1 GTK_A11Y=none LIBGL_ALWAYS_SOFTWARE=1 LC_ALL="${LC_ALL:-C.UTF-8}" \
        HOWDAH_DESKTOP_STAGE=inside HOWDAH_DESKTOP_ROOT="$root" \
        dbus-run-session -- "$0" "$@" || status=$?
    exit "$status"
fi

# Inside the session: what a desktop has, then the command.
unset HOWDAH_DESKTOP_STAGE
pids=()
# shellcheck disable=SC2317,SC2329 # called by the trap
stop() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
}
trap stop EXIT
for program in openbox tint2 dunst; do
    "$program" >"$HOWDAH_DESKTOP_ROOT/$program.log" 2>&1 &
    pids+=($!)
done
printf 'desktop' | gnome-keyring-daemon --foreground --unlock --components=secrets >"$HOWDAH_DESKTOP_ROOT/keyring.log" 2>&1 &
pids+=($!)
for _ in $(seq 100); do
    if busctl --user --address="$DBUS_SESSION_BUS_ADDRESS" list --no-pager 2>/dev/null | grep -q '^org.freedesktop.secrets '; then break; fi
    sleep 0.1
done
"$@"
