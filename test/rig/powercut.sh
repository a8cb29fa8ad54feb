#!/bin/bash
# powercut.sh has a program work on an outbox in a guest whose disk logs every
# write, cuts the power, then rebuilds the disk as a cut after each of the
# writes would leave it, and opens the outbox on it. README.md says what it
# needs; it must be root, for the loop devices.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
cd "$ROOT"
BASE=${BASE:-${RIG_CACHE:-$HOME/.cache/egret-rig}/base-amd64}

"$HERE/packages.sh"
[ -s "$BASE/base.ext4" ] || "$HERE/build-base.sh" amd64 "$BASE"

P=$(mktemp -d)
trap 'rm -rf "$P"' EXIT
mkdir "$P/payload"
CGO_ENABLED=0 go build -o "$P/payload/powercut" ./test/rig/powercut
# No commit of the file system's own accord, which is every 5 s: only what the
# outbox has fsynced is safe.
cat >"$P/payload/test.sh" <<-'GUEST'
	mount -o remount,commit=900 /scratch || exit
	./powercut write /scratch /dev/disk/by-id/virtio-scratch || exit
	echo @@CUT-NOW
	sleep 60
GUEST
# 24 MiB of file system, and the marks behind it (see powercut/mark.go).
truncate -s 32M "$P/disk.img"
mke2fs -q -F -t ext4 -m 0 "$P/disk.img" 24M
cp "$P/disk.img" "$P/before.img"
KEEP_SCRATCH="$P/disk.img" SCRATCH_LOG="$P/log" CUT_ON='@@CUT-NOW' TIMEOUT="${TIMEOUT:-600}" BASE="$BASE" "$HERE/vmtest.sh" "$P/payload"
"$P/payload/powercut" check "$P/log" "$P/before.img"
