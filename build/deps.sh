#!/bin/sh
# deps.sh brings what egret is built and run with and does not carry in git:
#
#   packages   Debian packages that are missing (npm, libjpeg-dev, mosquitto, chromium, …)
#   native     TensorFlow Lite 2.9.0 for amd64 and arm64, into build/native/
#   models     the default models, labels and pictures, into models/ and samples/
#   cross      what `make cross` needs besides: the C compiler for the other
#              architecture, libjpeg's headers and archive for both
#   emulator   what `make test-arm64` needs besides: qemu-user and arm64's libstdc++
#
# Usage: build/deps.sh [packages|native|models|cross|emulator]…     (the first three without words)
#
# Everything is pinned by version and SHA-256 and is fetched once: a second run
# does nothing and needs no network. TFLITE_ROOT=/path skips `native`.
set -eu
cd "$(dirname "$0")/.."
trap 'exit 130' INT TERM # so that what a trap removes at the end goes then, too

say() { printf 'deps: %s\n' "$*" >&2; }
die() { printf 'deps: %s\n' "$*" >&2; exit 1; }

# check FILE SHA256: is the file there, and is it the one we mean?
check() { [ -f "$1" ] && printf '%s  %s\n' "$2" "$1" | sha256sum -c --status; }

# ---------------------------------------------------------------- packages
# command:package pairs, or header.h:package; DEPS_TEST=1 adds what only the
# tests need.
want_packages() {
	[ "${CGO_ENABLED:-1}" = 0 ] || echo jpeglib.h:libjpeg-dev
	[ -n "${TFLITE_ROOT:-}" ] || echo npm:npm
	if [ "${DEPS_TEST:-0}" = 1 ]; then
		echo mosquitto:mosquitto
		echo mosquitto_sub:mosquitto-clients
		echo systemd-analyze:systemd
		browser
	fi
}

# browser says what brings a Chromium to the dashboard's tests, unless there is
# one, or DASHBOARD_CHROMIUM names it. Ubuntu has none of its own, only a stub
# that needs snapd: there, those tests fail until somebody has chosen one.
browser() {
	for name in ${DASHBOARD_CHROMIUM:-} chromium chromium-headless-shell chromium-browser google-chrome; do
		command -v "$name" >/dev/null 2>&1 && return 0
	done
	if grep -qs '^ID=ubuntu$' /etc/os-release; then
		say "the dashboard's tests will fail: they need Chromium, which Ubuntu's apt-get does not bring. Install a Chromium or Chrome and name it by DASHBOARD_CHROMIUM=/path."
		return 0
	fi
	echo chromium:chromium
}

# have THING: is the command on the path, or does the compiler find the header?
have() {
	case $1 in
	*.h)
		# Without a compiler nothing is missing yet: go will ask for one.
		command -v "${CC:-cc}" >/dev/null 2>&1 || return 0
		# shellcheck disable=SC2086 # flags are a list of words
		printf '#include <stddef.h>\n#include <stdio.h>\n#include <%s>\n' "$1" | "${CC:-cc}" ${CGO_CFLAGS:-} -E -x c - >/dev/null 2>&1
		;;
	*) command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] ;;
	esac
}

packages() {
	missing=
	for pair in $(want_packages); do
		have "${pair%%:*}" || missing="$missing ${pair##*:}"
	done
	[ -z "$missing" ] || install_packages "$missing"
}

# install_packages NAMES installs Debian packages, as root or by sudo.
install_packages() {
	missing=$1
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	if ! command -v apt-get >/dev/null 2>&1 || { [ -n "$sudo" ] && ! command -v sudo >/dev/null 2>&1; }; then
		die "missing:$missing (Debian's names). This system has no apt-get that we may use: install them with its own package manager and run this again."
	fi
	say "installing$missing"
	$sudo apt-get update -qq
	# shellcheck disable=SC2086 # a list of words
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# ------------------------------------------------------------------ native
TFLITE=build/native/tflite-2.9.0
TFLITE_PACKAGE=tfjs-tflite-node@0.0.2 # carries TensorFlow Lite 2.9.0's C library and headers, Apache-2.0
TFLITE_SHA256=3be1632328a76a2475e5b6833253763c802c859433becb4d879ee1860e3b5284

native() {
	if [ -n "${TFLITE_ROOT:-}" ]; then
		[ -f "$TFLITE_ROOT/include/tensorflow/lite/c/c_api.h" ] ||
			die "TFLITE_ROOT=$TFLITE_ROOT has no include/tensorflow/lite/c/c_api.h: give the folder that holds include/ and lib/"
		link_other_name
		return 0
	fi
	[ -f $TFLITE/.complete ] && return 0
	say "fetching TensorFlow Lite 2.9.0 ($TFLITE_PACKAGE)"
	tmp=build/native/.tmp.$$
	mkdir -p $tmp
	trap 'rm -rf "$tmp"' EXIT
	(cd $tmp && npm pack --silent $TFLITE_PACKAGE >/dev/null) || die "npm pack $TFLITE_PACKAGE failed: is there a network?"
	check "$(echo $tmp/*.tgz)" $TFLITE_SHA256 || die "$TFLITE_PACKAGE is not the file we know (SHA-256 differs): refusing to use it"
	tar -xzf $tmp/*.tgz -C $tmp package/cc_deps
	mkdir $tmp/tflite
	for part in include linux_amd64 linux_arm64; do mv $tmp/package/cc_deps/$part $tmp/tflite/; done
	touch $tmp/tflite/.complete
	rm -rf $TFLITE
	mv $tmp/tflite $TFLITE
	rm -rf $tmp
	trap - EXIT
}

# go-tflite links -ltensorflowlite_c; distributions name the same library
# otherwise. A link of the right name in build/native/link serves the linker;
# at run time the loader finds the library by its own soname.
link_other_name() {
	for lib in "$TFLITE_ROOT"/lib/libtensorflowlite_c.so "$TFLITE_ROOT"/libtensorflowlite_c.so "$TFLITE_ROOT"/lib/*/libtensorflowlite_c.so; do
		[ -e "$lib" ] && return 0
	done
	for lib in "$TFLITE_ROOT"/lib/*/libtensorflow-lite.so "$TFLITE_ROOT"/lib/libtensorflow-lite.so "$TFLITE_ROOT"/lib/libtensorflowlite.so; do
		[ -e "$lib" ] || continue
		mkdir -p build/native/link
		ln -sf "$(realpath "$lib")" build/native/link/libtensorflowlite_c.so
		return 0
	done
	die "TFLITE_ROOT=$TFLITE_ROOT has no libtensorflowlite_c.so (nor libtensorflow-lite.so) in lib/"
}

# ------------------------------------------------------------------ models
# The module zip of go-tflite v1.0.1 holds Google's quantized MobileNet v1 and
# SSD MobileNet with labels and a picture each (Apache-2.0); the go command
# verifies it against the checksum database, and we against our own list.
EXAMPLES=github.com/mattn/go-tflite@v1.0.1

models_list() {
	cat <<-'LIST'
		c4149e63f56056d9a564ceed1d96a84d7a50d90b0ff1da01f72afabe752ef097 label_image/mobilenet_quant_v1_224.tflite models/mobilenet_v1_1.0_224_quant/1/model.tflite
		536feacc519de3d418de26b2effb4d75694a8c4c0063e36499a46fa8061e2da9 label_image/labels.txt models/mobilenet_v1_1.0_224_quant/1/labels.txt
		4c416dc4cf757f523070d746f332ba8563d284570b683b2799bf4216048a77dc label_image/peacock.png samples/classify/peacock.png
		4c416dc4cf757f523070d746f332ba8563d284570b683b2799bf4216048a77dc label_image/peacock.png models/mobilenet_v1_1.0_224_quant/1/golden/peacock.png
		e4b118e5e4531945de2e659742c7c590f7536f8d0ed26d135abcfe83b4779d13 ssd/detect.tflite models/ssd_mobilenet_v1_quant/1/model.tflite
		c7e79c855f73cbba9f33d649d60e1676eb0a974021a41696d1ac0d4b7f7e0211 ssd/labelmap.txt models/ssd_mobilenet_v1_quant/1/labels.txt
		eb2d4bc00e4c69cb95c256179092f8d45a8d610e4f5a5ed3dfe8d3a69097e456 ssd/example.jpg samples/detect/example.jpg
		eb2d4bc00e4c69cb95c256179092f8d45a8d610e4f5a5ed3dfe8d3a69097e456 ssd/example.jpg models/ssd_mobilenet_v1_quant/1/golden/example.jpg
	LIST
}

models() {
	missing=0
	while read -r sum _ to; do check "$to" "$sum" || missing=1; done <<-LIST
		$(models_list)
	LIST
	if [ $missing = 1 ]; then
		say "fetching the default models ($EXAMPLES)"
		# Outside our module, so that neither go.mod nor go.sum is touched.
		dir=$(cd / && go mod download -json $EXAMPLES | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')
		[ -d "$dir/_example" ] || die "go mod download $EXAMPLES gave no folder: is there a network?"
		models_list | while read -r sum from to; do
			check "$dir/_example/$from" "$sum" || die "$from is not the file we know (SHA-256 differs): refusing to use it"
			mkdir -p "$(dirname "$to")"
			cp "$dir/_example/$from" "$to.tmp" && chmod 644 "$to.tmp" && mv "$to.tmp" "$to"
		done
	fi
	for name in mobilenet_v1_1.0_224_quant ssd_mobilenet_v1_quant; do
		cmp -s build/models/$name.yaml models/$name/1/model.yaml || cp build/models/$name.yaml models/$name/1/model.yaml
	done
}

# ------------------------------------------------------------------- cross
# Both architectures take libjpeg from a root of their own, so that a binary
# does not depend on the machine that it was built on. apt-get fills it from the
# machine's own sources and keys, beside the machine's own packages and lists:
# no foreign architecture is added to dpkg.
JPEG_PACKAGE=libjpeg62-turbo-dev

cross() {
	command -v zip >/dev/null 2>&1 || install_packages " zip"
	machine=$(go env GOHOSTARCH)
	for arch in amd64 arm64; do
		gcc=$(build/cross.sh compiler $arch)
		if [ $arch != "$machine" ] && ! command -v "$gcc" >/dev/null 2>&1; then
			package=$(printf %s "$gcc" | sed 's/\(.*\)-gcc$/gcc-\1/' | tr _ -)
			install_packages " $package libc6-dev-$arch-cross"
		fi
		sysroot $arch
	done
}

# ---------------------------------------------------------------- emulator
# What `make test-arm64` needs besides: qemu-user, and arm64's libstdc++ for
# TensorFlow Lite.
emulator() {
	missing=
	command -v qemu-aarch64-static >/dev/null 2>&1 || missing=qemu-user-static
	[ -e /usr/aarch64-linux-gnu/lib/libstdc++.so.6 ] || missing="$missing libstdc++6-arm64-cross"
	[ -z "$missing" ] || install_packages " $missing"
}

# sysroot ARCH fetches libjpeg for ARCH into build/native/sysroot-ARCH, with a
# file that says which version it is.
sysroot() {
	to=build/native/sysroot-$1
	[ -f "$to/libjpeg.version" ] && return 0
	command -v apt-get >/dev/null 2>&1 || die "no apt-get to fetch $JPEG_PACKAGE for $1 with: cross builds are made on Debian"
	say "fetching $JPEG_PACKAGE for $1"
	tmp=$PWD/build/native/.sysroot-$1.$$
	mkdir -p "$tmp/apt/lists/partial" "$tmp/apt/archives/partial" "$tmp/root"
	trap 'rm -rf "$tmp"' EXIT
	: >"$tmp/apt/status"
	set -- "$1" -o "APT::Architecture=$1" -o "APT::Architectures=$1" -o APT::Sandbox::User=root \
		-o "Dir::State=$tmp/apt" -o "Dir::State::status=$tmp/apt/status" -o "Dir::Cache=$tmp/apt" -o Acquire::Languages=none
	arch=$1
	shift
	apt-get "$@" update -qq || die "apt-get update for $arch failed: is there a network?"
	(cd "$tmp/apt" && apt-get "$@" download -qq "$JPEG_PACKAGE") ||
		die "no $JPEG_PACKAGE for $arch in this machine's package sources: cross builds are made on Debian, whose mirrors carry every architecture"
	deb=$(echo "$tmp"/apt/*.deb)
	dpkg-deb -x "$deb" "$tmp/root"
	printf '%s %s %s\n' "$JPEG_PACKAGE" "$(dpkg-deb -f "$deb" Version)" "$(sha256sum "$deb" | cut -d' ' -f1)" >"$tmp/root/libjpeg.version"
	rm -rf "$to"
	mv "$tmp/root" "$to"
	rm -rf "$tmp"
	trap - EXIT
}

[ $# -gt 0 ] || set -- packages native models
for part in "$@"; do
	case $part in
	packages | native | models | cross | emulator) $part ;;
	# What the list of parts (build/sbom) names: version, package, hash.
	pin) echo "${TFLITE##*-}" $TFLITE_PACKAGE $TFLITE_SHA256 ;;
	*) die "unknown part '$part': packages, native, models, cross or emulator" ;;
	esac
done
