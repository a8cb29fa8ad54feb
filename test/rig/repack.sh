#!/bin/bash
# repack.sh IN.deb OUT.deb VERSION [SCRIPT] makes another version of a package: the
# same files under another number, after SCRIPT has changed some of them in the
# package's tree, which is its working folder.
set -euo pipefail
in=$(realpath "$1") out=$(realpath -m "$2") version=$3 script=${4:-}
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
dpkg-deb -R "$in" "$tree"
sed -i "s/^Version:.*/Version: $version/" "$tree/DEBIAN/control"
(
	cd "$tree"
	[ -z "$script" ] || eval "$script"
	find . -type f ! -path './DEBIAN/*' -printf '%P\0' | xargs -0 md5sum >DEBIAN/md5sums
)
dpkg-deb --root-owner-group -Zgzip -z1 -b "$tree" "$out" >/dev/null
