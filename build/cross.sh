#!/bin/sh
# cross.sh builds the binaries that are given to people, on amd64 or arm64 and
# for both, so that the same commit gives the same bytes on every Debian 12.
#
#   build/cross.sh all             everything below (make cross)
#   build/cross.sh agent ARCH      dist/linux_ARCH/egret and its library
#   build/cross.sh tools           dist/tool/egret_OS_ARCH: the operator's tool, without inference
#   build/cross.sh env ARCH        prints the environment for go, as `make env ARCH=…` shows it
#   build/cross.sh compiler ARCH   prints the C compiler
#
# ARCH is amd64 or arm64. VERSION, COMMIT, DATE, TAGS and GO come from the Makefile.
set -eu
cd "$(dirname "$0")/.."

TFLITE=$PWD/build/native/tflite-2.9.0
GLIBC=2.34 # Ubuntu 22.04, Debian 12 and later; JetPack 6
TOOLS=${TOOLS:-linux_amd64 linux_arm64 linux_arm darwin_amd64 darwin_arm64 windows_amd64 windows_arm64}

die() { printf 'cross: %s\n' "$*" >&2; exit 1; }

triplet() {
	case $1 in
	amd64) echo x86_64-linux-gnu ;;
	arm64) echo aarch64-linux-gnu ;;
	*) die "unknown architecture '$1': amd64 or arm64" ;;
	esac
}

compiler() {
	if [ "$1" = "$(go env GOHOSTARCH)" ]; then echo gcc; else echo "$(triplet "$1")-gcc"; fi
}

# setting ARCH sets the variables of a cgo build for ARCH. There is no debug
# information, and the paths that C code may see begin here: where the tree lies
# must not show in a binary.
setting() {
	root=$PWD/build/native/sysroot-$1
	CC=$(compiler "$1")
	CGO_CFLAGS="-O2 -ffile-prefix-map=$PWD=. -I$TFLITE/include -I$PWD/build/include -isystem $root/usr/include -isystem $root/usr/include/$(triplet "$1")"
	CGO_LDFLAGS="-O2 -L$TFLITE/linux_$1 -L$root/usr/lib/$(triplet "$1") -Wl,-rpath,\$ORIGIN/../lib/egret -l:libjpeg.a"
}

env_of() {
	setting "$1"
	printf "export GOOS=linux GOARCH='%s' CGO_ENABLED=1 CC='%s'\n" "$1" "$CC"
	printf "export CGO_CFLAGS='%s'\nexport CGO_LDFLAGS='%s'\nexport LD_LIBRARY_PATH='%s'\n" "$CGO_CFLAGS" "$CGO_LDFLAGS" "$TFLITE/linux_$1"
}

# build OUT builds egret for the environment's platform. The build id is left
# empty: it would hash the flags, and with them the tree's path.
build() {
	# The oldest processors of each kind, whatever `go env -w` says here.
	GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT='' "${GO:-go}" build -trimpath -buildvcs=false -tags "${TAGS:-grpcnotrace}" -o "$1" \
		-ldflags "-s -w -buildid= -X main.version=${VERSION:-devel} -X main.commit=${COMMIT:-} -X main.date=${DATE:-}" ./cmd/egret
}

agent() {
	to=dist/linux_$1
	setting "$1"
	mkdir -p "$to"
	GOOS=linux GOARCH=$1 CGO_ENABLED=1 CC=$CC CGO_CFLAGS=$CGO_CFLAGS CGO_LDFLAGS=$CGO_LDFLAGS build "$to/egret"
	cp "$TFLITE/linux_$1/libtensorflowlite_c.so" "$to/"
	chmod 644 "$to/libtensorflowlite_c.so"
	runs_on_old_systems "$to/egret" "$to/libtensorflowlite_c.so"
	echo "cross: $to/egret"
}

# runs_on_old_systems FILE…: does no file ask for a newer C library than we
# promise? One built on a newer system may.
runs_on_old_systems() {
	for file; do
		highest=$(readelf -V "$file" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1)
		[ -n "$highest" ] || die "$file names no version of glibc: readelf could not read it"
		[ "$(printf '%s\n' "$highest" "GLIBC_$GLIBC" | sort -V | tail -n 1)" = "GLIBC_$GLIBC" ] ||
			die "$file asks for $highest, and would not start on systems that have GLIBC_$GLIBC: build on Debian 12 or Ubuntu 22.04"
	done
}

tools() {
	rm -rf dist/tool # build/dist.sh packs what is there
	mkdir -p dist/tool
	for platform in $TOOLS; do
		os=${platform%_*} arch=${platform#*_} suffix=
		[ "$os" = windows ] && suffix=.exe
		# ARMv6 with floating point: every Raspberry Pi.
		GOOS=$os GOARCH=$arch GOARM=6 CGO_ENABLED=0 build "dist/tool/egret_$platform$suffix"
		echo "cross: dist/tool/egret_$platform$suffix"
	done
}

case ${1:-} in
all)
	agent amd64
	agent arm64
	tools
	;;
agent | compiler) "$@" ;;
tools) tools ;;
env) env_of "${2:?ARCH is missing: amd64 or arm64}" ;;
*) die "usage: build/cross.sh all | agent ARCH | tools | env ARCH | compiler ARCH" ;;
esac
