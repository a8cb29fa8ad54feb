#!/bin/sh
# deb.sh makes dist/egret_VERSION_ARCH.deb from dist/linux_ARCH, which `make cross`
# builds, and dist/share.
#
#   build/deb.sh ARCH
#   build/deb.sh version VERSION     prints what Debian calls the version
#
# DEB_VERSION, MAINTAINER, SOURCE_DATE_EPOCH and GO come from the Makefile.
set -eu
cd "$(dirname "$0")/.."
umask 022

# version turns git's description into a Debian version that sorts right:
# v1.2.3-rc1 before v1.2.3, and that before what was committed after it. Without
# a tag it is the commit's day and hash, older than any release.
version() {
	case $1 in
	v[0-9]*)
		printf '%s\n' "${1#v}" | sed -E 's/-dirty$/+dirty/; s/-([0-9]+)-(g[0-9a-f]+)/+\1.\2/; s/-/~/g'
		;;
	[0-9]*.*) printf '%s\n' "$1" | sed 's/-/~/g' ;;
	*) printf '0.0.0~git%s.%s\n' "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d)" "$(printf %s "$1" | sed 's/-dirty$/+dirty/; s/[^A-Za-z0-9.+~]/./g')" ;;
	esac
}

package() {
	ARCH=$1
	stage=dist/stage_$ARCH
	rm -rf "$stage"
	DESTDIR=$PWD/$stage PREFIX=/usr SYSCONFDIR=/etc UNITDIR=/usr/lib/systemd/system \
		build/install.sh install "dist/linux_$ARCH/egret" "dist/linux_$ARCH/libtensorflowlite_c.so"
	mkdir -p "$stage/usr/share/lintian/overrides"
	install -m 644 build/debian/lintian-overrides "$stage/usr/share/lintian/overrides/egret"
	# The packer takes each file's time; the commit's is the same for everyone.
	find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	rm -f dist/egret_*_"$ARCH".deb
	export ARCH DEB_VERSION MAINTAINER SOURCE_DATE_EPOCH
	sed "s/\${ARCH}/$ARCH/g" build/debian/nfpm.yaml >"$stage.yaml"
	(cd build/nfpm && GOFLAGS=-mod=readonly CGO_ENABLED=0 "${GO:-go}" build -o ../../dist/nfpm .)
	dist/nfpm "$stage.yaml" "dist/egret_${DEB_VERSION}_$ARCH.deb"
	rm -rf "$stage" "$stage.yaml" dist/nfpm
	echo "deb: dist/egret_${DEB_VERSION}_$ARCH.deb"
}

case ${1:-} in
version) version "$2" ;;
amd64 | arm64) package "$1" ;;
*) echo 'usage: build/deb.sh amd64 | arm64 | version VERSION' >&2; exit 2 ;;
esac
