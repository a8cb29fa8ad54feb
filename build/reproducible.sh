#!/bin/sh
# reproducible.sh builds the commit twice, in two clones whose paths, caches,
# homes, time zones, locales and masks differ, and compares the bytes of all that
# is given to people. It prints the hashes, and fails when any differs.
#
# Both builds are made from nothing: a quarter of an hour of two processors.
# TARGET=deb leaves out the tool's archives; TOOLS='linux_amd64' builds fewer;
# CACHE=dir lets both share what the compiler made of equal input, which proves
# less: it leaves what depends on the tree, the linker and the packers.
set -eu
cd "$(dirname "$0")/.."

TARGET=${TARGET:-dist}
tree=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
[ -z "$(git status --porcelain)" ] || echo 'reproducible: what is not committed is not in the clones' >&2

# once CLONE HOME TZ LOCALE UMASK
once() {
	mkdir -p "$(dirname "$1")" "$2"
	git clone -q --no-hardlinks "$tree" "$1"
	# What is downloaded is the same for both, and needs no second download.
	mkdir -p "$1/build"
	cp -R "$(realpath build/native)" "$1/build/native"
	cp -R "$(realpath models)" "$(realpath samples)" "$1/"
	(
		umask "$5"
		cd "$1"
		env -u VERSION -u COMMIT -u SOURCE_DATE_EPOCH -u CGO_CFLAGS -u CGO_LDFLAGS -u LD_LIBRARY_PATH -u MAKEFLAGS \
			GOMODCACHE="$(go env GOMODCACHE)" GOCACHE="${CACHE:-$2/cache}" HOME="$2" TZ="$3" LC_ALL="$4" make -s "$TARGET" >"$2/log" 2>&1
	) || {
		tail -n 20 "$2/log" >&2
		echo "reproducible: the build in $1 failed" >&2
		exit 1
	}
	(cd "$1/dist" && find . -type f ! -path './share/*' | LC_ALL=C sort | xargs sha256sum) >"$2/sums"
}

once "$work/a" "$work/home" UTC C 022
once "$work/a-much-longer-path/below/another" "$work/somebody-else" Asia/Kathmandu C.UTF-8 002
cat "$work/home/sums"
if ! diff "$work/home/sums" "$work/somebody-else/sums" >&2; then
	echo 'reproducible: two builds of one commit differ in the files above' >&2
	exit 1
fi
echo "reproducible: two builds of one commit gave the same bytes ($(wc -l <"$work/home/sums") files)"
