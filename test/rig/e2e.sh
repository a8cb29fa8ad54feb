#!/bin/bash
# e2e.sh installs the package in a container and in a throw-away Debian guest, and
# checks the daemon there under real systemd (checks/). README.md says what it
# needs and what the checks are.
#
#   ARCH=arm64     the other architecture's package, in an emulated guest
#   RIG=container  the container alone, or RIG=guest
#   CHECKS="…"     these topics alone, in one boot: install is needed first
#   DEB=FILE       another package than dist's
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
cd "$ROOT"
ARCH=${ARCH:-$(dpkg --print-architecture)}
# What is emulated twice over (another machine's instructions) waits longer.
FACTOR=${FACTOR:-1}
[ "$ARCH" = amd64 ] || FACTOR=$((FACTOR * 3))
BASE=${BASE:-${RIG_CACHE:-$HOME/.cache/egret-rig}/base-$ARCH}
export ARCH BASE
DEB=${DEB:-$(find dist -maxdepth 1 -name "egret_*_$ARCH.deb" 2>/dev/null | sort | tail -n 1 || true)}
[ -s "$DEB" ] || { echo "e2e: there is no dist/egret_*_$ARCH.deb: make dist makes it" >&2; exit 1; }

"$HERE/packages.sh"
[ -s "$BASE/base.ext4" ] || "$HERE/build-base.sh" "$ARCH" "$BASE"

W=$(mktemp -d)
trap 'rm -rf "$W"' EXIT
P=$W/payload
mkdir -p "$P"
echo "e2e: the payload, with $DEB"
cp "$DEB" "$P/egret.deb"
"$HERE/repack.sh" "$DEB" "$P/older.deb" 0.0.0~0older
"$HERE/repack.sh" "$DEB" "$P/newer.deb" 99.0 'echo "# the newest default" >>etc/egret/egret.yaml'
for tool in uvcsim sandbox; do GOARCH=$ARCH CGO_ENABLED=0 go build -o "$P/$tool" "./test/rig/$tool"; done
GOARCH='' CGO_ENABLED=0 go run ./test/rig/frame samples/classify/peacock.png "$P/frame.jpg"
GOARCH='' CGO_ENABLED=0 go run ./test/rig/bundle "$P/models"
CC=cc
[ "$ARCH" = "$(dpkg --print-architecture)" ] || CC=$([ "$ARCH" = arm64 ] && echo aarch64 || echo x86_64)-linux-gnu-gcc
$CC -O2 -Ibuild/native/tflite-2.9.0/include -shared -fPIC -o "$P/libtest_delegate.so" test/delegates/testdata/delegate.c
cp "$HERE"/checks/*.sh "$P/"
# The guest's image leaves documentation out, where the package has its drop-ins.
dpkg-deb --fsys-tarfile "$DEB" | tar -xO ./usr/share/doc/egret/examples/coral-usb.conf >"$P/coral-usb.conf"

# environment RIG CHECKS [PROMISED] is what the checks are told.
environment() {
	printf '%s\n' "RIG=$1" "ARCH=$ARCH" "FACTOR=$FACTOR" "CHECKS='$2'" "PROMISED='${3:-}'" "VERSION='$(dpkg-deb -f "$DEB" Version)'" >"$P/rig.env"
}
failed='' boots=0
# boot NAME RIG CHECKS…: one boot, whose failures are told at the end
boot() {
	local name=$1
	echo "== $name"
	boots=$((boots + 1))
	environment "$2" "$3" "${4:-}"
	if [ "$2" = container ]; then TIMEOUT=$((900 * FACTOR)) BASE="$BASE/rootfs" "$HERE/nspawntest.sh" "$P"; else
		TIMEOUT=$((${TIMEOUT:-2700} * FACTOR)) "$HERE/vmtest.sh" "$P"
	fi || failed="$failed${failed:+, }$name"
}

if [ -n "${CHECKS:-}" ]; then
	boot "$CHECKS" "${RIG:-guest}" "$CHECKS"
else
	# Another architecture's container would need its instructions emulated for
	# each program by itself; the guest is enough.
	if [ "${RIG:-container}" = container ] && [ "$ARCH" = "$(dpkg --print-architecture)" ]; then
		boot container container "install service watchdog secrets threads sandbox upgrade"
	fi
	if [ "${RIG:-guest}" = guest ]; then
		boot guest guest "install camera service watchdog secrets threads sandbox upgrade"
		# Four boots of one disk. Its cache is written where the guest flushes, so
		# that a cut loses what a cut loses.
		export KEEP_ROOT=$W/root.qcow2 SERIAL=$W/serial.log
		boot "before the reboot" guest boot
		boot "after the reboot" guest rebooted
		CUT_ON='@@FLUSHED [0-9]+ (1[2-9]|[2-9][0-9])' boot "power cut" guest cut
		# A cut is what ends that boot, whatever its checks said.
		! grep -q '^not ok' "$SERIAL" || failed="$failed${failed:+, }power cut"
		# The last line may be half a one: a shorter number is the lower one.
		promised=$(tr -d '\r' <"$SERIAL" | sed -n 's/^@@FLUSHED \([0-9]* [0-9][0-9]*\)$/\1/p' | sort -k 2n | tail -n 1)
		[ -n "$promised" ] || failed="$failed${failed:+, }nothing was promised before the cut"
		boot "after the power cut" guest recovered "${promised:-0 1}"
	fi
fi
[ $boots -gt 0 ] || { echo "e2e: nothing was run: RIG is container or guest, and another architecture has the guest alone" >&2; exit 2; }
[ -z "$failed" ] || { echo "e2e: failed: $failed" >&2; exit 1; }
echo "e2e: all checks passed, in $boots boots"
