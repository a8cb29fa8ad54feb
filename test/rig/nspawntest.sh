#!/bin/bash
# nspawntest.sh PAYLOAD_DIR: systemd as PID 1 of a container on this kernel, with
# the same contract as vmtest.sh: PAYLOAD_DIR/test.sh runs as root there, its
# output is printed, its exit code comes back (124 = timeout, 125 = no result).
# It takes seconds; there are no modules, no cameras, and no limits of devices,
# memory or tasks. The root is an overlay: the base is never changed.
# env: BASE=folder of the root file system  TIMEOUT=120  OUT=dir (gets /scratch)
set -uo pipefail
PAY=$(realpath "${1:?payload dir}")
BASE=${BASE:-${RIG_CACHE:-$HOME/.cache/egret-rig}/base-$(dpkg --print-architecture)/rootfs}
TIMEOUT=${TIMEOUT:-120}
W=$(mktemp -d "${TMPDIR:-/tmp}/nspawntest.XXXXXX")
M=egret-rig-$$
trap 'rm -rf "$W"' EXIT
mkdir -p "$W"/{up,wk,root,scratch} "$W/up/etc/systemd/system/vmtest.service.d"
printf '[Service]\nStandardOutput=append:/scratch/.out\nStandardError=append:/scratch/.out\n' >"$W/up/etc/systemd/system/vmtest.service.d/nspawn.conf"
export BASE PAY TIMEOUT W M
begin=$SECONDS
# What the checks say is printed as they say it.
: >"$W/scratch/.out"
tail --pid=$$ -n +1 -s 0.2 -f "$W/scratch/.out" | sed -u -n '/@@VMTEST-BEGIN/,/@@VMTEST-END/p' &
printer=$!
nspawn=
# The container ends with us, before what it runs on is removed.
trap 'kill $printer $nspawn 2>/dev/null; wait $nspawn 2>/dev/null; rm -rf "$W"' EXIT
trap 'exit 130' INT TERM
# shellcheck disable=SC2016 # the inner shell expands them
unshare --mount --propagation private bash -c '
  mount -t overlay overlay -o lowerdir=$BASE,upperdir=$W/up,workdir=$W/wk $W/root || exit 125
  exec timeout --foreground -k 5 $TIMEOUT systemd-nspawn -q -D $W/root -M $M --register=no --keep-unit --boot --private-network --console=pipe \
    --bind-ro=$PAY:/payload --bind=$W/scratch:/scratch -- systemd.show_status=0' </dev/null >"$W/log" 2>&1 &
nspawn=$!
wait $nspawn
q=$?
nspawn=
sleep 0.5 # the printer's last lines
rc=$(sed -n 's/.*@@VMTEST-END rc=\([0-9]*\).*/\1/p' "$W/scratch/.out" 2>/dev/null | tail -n 1)
[ -z "${OUT:-}" ] || { mkdir -p "$OUT" && cp -a "$W/scratch/." "$OUT/"; }
echo "nspawntest: nspawn rc=$q wall=$((SECONDS - begin))s" >&2
if [ -z "$rc" ]; then
	tail -n 30 "$W/log" >&2
	[ $q = 124 ] && exit 124
	exit 125
fi
exit "$rc"
