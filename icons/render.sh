#!/usr/bin/env bash
# Renders the app's icons and the tray's four states from howdah.svg. The results are committed; run this after a change
# of the drawing (`make icons`). Needs rsvg-convert (librsvg2-bin) and ImageMagick.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p app tray

for size in 32 128 256 512; do
    rsvg-convert --width "$size" --height "$size" howdah.svg --output "app/$size.png"
done
for size in 16 24 32 48 64 256; do
    rsvg-convert --width "$size" --height "$size" howdah.svg --output "app/ico-$size.png"
done
/usr/bin/convert app/ico-{16,24,32,48,64,256}.png app/howdah.ico
rm app/ico-*.png

# A tray state is the icon with a badge at its lower right. Each state has a shape and a colour of its own, and a gap is
# cut around the badge, so that it reads on light and on dark panels, and without colour.
tray() { # name, path of the gap, the badge
    sed -e "s|<rect width|<mask id=\"gap\"><rect width=\"64\" height=\"64\" fill=\"#fff\"/>$2</mask><g mask=\"url(#gap)\"><rect width|" \
        -e "s|</svg>|</g>$3</svg>|" howdah.svg >"tray/$1.svg"
    rsvg-convert --width 44 --height 44 "tray/$1.svg" --output "tray/$1.png"
    rm "tray/$1.svg"
}
rsvg-convert --width 44 --height 44 howdah.svg --output tray/idle.png
# Running: a disc with a triangle pointing on.
tray running '<circle cx="45" cy="45" r="22" fill="#000"/>' \
    '<circle cx="45" cy="45" r="18" fill="#2563eb"/><path d="M39.5 35.500 V54.500 L55 45 Z" fill="#fff"/>'
# Warning: a triangle with a bar and a dot.
tray warning '<path d="M43 19 L68 68 H18 Z" fill="#000" stroke="#000" stroke-width="9" stroke-linejoin="round"/>' \
    '<path d="M43 27 L60.5 60 H25.500 Z" fill="#f59e0b" stroke="#f59e0b" stroke-width="6" stroke-linejoin="round"/><path d="M40 34 h6 l-1 14 h-4 Z" fill="#1b1400"/><circle cx="43" cy="54.5" r="3.300" fill="#1b1400"/>'
# Failed: a square with a cross.
tray failed '<rect x="23" y="23" width="45" height="45" rx="8" fill="#000"/>' \
    '<rect x="28" y="28" width="36" height="36" rx="6" fill="#dc2626"/><path d="M37.500 37.500 L54.500 54.500 M54.500 37.500 L37.500 54.500" stroke="#fff" stroke-width="6" stroke-linecap="round"/>'
