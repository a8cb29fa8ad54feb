#!/bin/sh
# packages.sh installs what the rig runs on, where apt-get can.
set -eu
want="qemu-system-x86 qemu-utils ipxe-qemu seabios mmdebstrap e2fsprogs zstd kmod systemd-container"
if [ "${ARCH:-amd64}" = arm64 ]; then want="$want qemu-system-arm qemu-user-static arch-test gcc-aarch64-linux-gnu libc6-dev-arm64-cross"; fi
missing=
for p in $want; do
	dpkg -s "$p" >/dev/null 2>&1 || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
	echo "rig: as root, install:$missing" >&2
	exit 1
fi
echo "rig: installing$missing" >&2
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
