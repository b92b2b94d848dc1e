#!/bin/sh
# Starts the Chromium that the Makefile unpacks beside this file, with the libraries and fonts that came along.
root=$(dirname "$(readlink -f "$0")")/root
for folder in "$root"/usr/lib/*-linux-gnu* "$root"/usr/lib/*-linux-gnu*/pulseaudio; do
  LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder"
done
export LD_LIBRARY_PATH
[ -d /etc/fonts ] || export FONTCONFIG_PATH="$root/etc/fonts"
export XDG_DATA_HOME="$root/usr/share" # fontconfig looks for fonts there, too
exec "$root/usr/lib/chromium/chromium" "$@"
