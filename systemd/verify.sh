#!/bin/sh
# verify.sh checks the unit as systemd reads it, alone and with each drop-in: no
# warning at all, and an exposure of 1.5 at most of the unit alone.
set -eu
cd "$(dirname "$0")"

if ! command -v systemd-analyze >/dev/null; then
	echo 'systemd/verify.sh: systemd-analyze is not installed: the unit was not checked' >&2
	[ "${CI:-}" != true ]
	exit
fi

# A unit is verified together with the program that it starts, so a copy
# stands in a root of its own with a program at the right place.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$root/usr/bin" "$root/bin" "$root/etc/systemd/system"
cp /bin/true "$root/usr/bin/egret"
cp /bin/true "$root/bin/kill"
cp egret.service "$root/etc/systemd/system/"
for unit in network.target time-sync.target sysinit.target basic.target shutdown.target multi-user.target system.slice -.slice modprobe@.service; do
	for dir in /usr/lib/systemd/system /lib/systemd/system; do
		if [ -e "$dir/$unit" ]; then cp "$dir/$unit" "$root/etc/systemd/system/"; break; fi
	done
done

# An unknown key is only a warning and the exit code stays 0: any output fails.
verify() {
	said=$(systemd-analyze verify --root="$root" --man=no --recursive-errors=no "$root/etc/systemd/system/egret.service" 2>&1) || said="${said:-failed without a word}"
	if [ -n "$said" ]; then
		echo "systemd/verify.sh: systemd-analyze verify says of $1:" >&2
		echo "$said" >&2
		exit 1
	fi
}
verify egret.service
for conf in drop-ins/*.conf; do
	mkdir "$root/etc/systemd/system/egret.service.d"
	cp "$conf" "$root/etc/systemd/system/egret.service.d/"
	verify "egret.service with $conf"
	rm -r "$root/etc/systemd/system/egret.service.d"
done
if ! out=$(systemd-analyze security --offline=yes --threshold=15 --no-pager ./egret.service 2>&1); then
	echo "$out" >&2
	echo 'systemd/verify.sh: the exposure is above 1.5' >&2
	exit 1
fi
echo "$out" | tail -n 1
