#!/bin/bash
# e2e.sh boots a throw-away Debian guest, installs egret in it, plugs in a
# software USB camera that the kernel's own uvcvideo driver serves, and checks
# the daemon under real systemd (guest.sh). README.md says what it needs.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
cd "$ROOT"
BASE=${BASE:-${RIG_CACHE:-$HOME/.cache/egret-rig}/base-amd64}

"$HERE/packages.sh"
[ -s "$BASE/base.ext4" ] || "$HERE/build-base.sh" amd64 "$BASE"

P=$(mktemp -d)
trap 'rm -rf "$P"' EXIT
make -s install DESTDIR="$P/root"
CGO_ENABLED=0 go build -o "$P/uvcsim" ./test/rig/uvcsim
go run ./test/rig/frame samples/classify/peacock.png "$P/frame.jpg"
cp "$HERE/guest.sh" "$P/test.sh"
TIMEOUT=${TIMEOUT:-1200} BASE="$BASE" "$HERE/vmtest.sh" "$P"
