#!/bin/bash
# run.sh builds the tests of every package for arm64 and runs them on another
# machine under qemu-user, one package after the other. What it leaves out stands
# in test/arm64/left-out with the reason, and is said.
#
#   test/arm64/run.sh [PACKAGE…]    packages as `agent` or `test/spine`; all without words
#
# The tests start programs: their own binary again, egret, mosquitto, Chromium.
# So the kernel must know how to start an arm64 program (binfmt_misc), and those
# of this machine run beside as they are. Registering qemu needs root; where a
# package has registered it already (qemu-user-static under systemd), nobody does.
#
# TIMEOUT bounds each package (default 60m). EGRET_TEST_SLOWDOWN (default 10)
# stretches the tests' own bounds. QEMU_CPU (default cortex-a72, a Raspberry Pi
# 4's: what needs a newer processor dies here) is the processor that is shown;
# `max` has the dot products of newer ones. Logs and binaries: bin/arm64/.
set -euo pipefail
cd "$(dirname "$0")/../.."

OUT=$PWD/bin/arm64
LEFT_OUT=$PWD/test/arm64/left-out
BINFMT=/proc/sys/fs/binfmt_misc
HANDLER=egret-arm64 # a name of our own: what others registered stays theirs
QEMU=${QEMU:-$(command -v qemu-aarch64-static || true)}

say() { printf 'test-arm64: %s\n' "$*" >&2; }
die() {
	say "$*"
	exit 1
}

# setting makes go build for arm64, and tells qemu where arm64's loader and C
# library lie.
setting() {
	[ "$(go env GOHOSTARCH)" != arm64 ] || die "this machine is arm64: run \`make test\` on it"
	[ "$(go env GOHOSTOS)" = linux ] || die "qemu-user runs Linux programs on Linux alone"
	eval "$(build/cross.sh env arm64)"
	export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu QEMU_CPU=${QEMU_CPU:-cortex-a72} EGRET_TEST_SLOWDOWN=${EGRET_TEST_SLOWDOWN:-10}
	mkdir -p "$OUT"
}

# emulation sees to it that the kernel starts arm64 programs, or ends here. The
# proof is a small one that wants the loader and libstdc++, as TensorFlow Lite does.
emulation() {
	printf 'int main(void) { return 0; }\n' | "$CC" -x c -o "$OUT/hello" - -Wl,--no-as-needed -l:libstdc++.so.6 ||
		die "$CC cannot build a program: is libstdc++6-arm64-cross installed (in $QEMU_LD_PREFIX/lib)?"
	"$OUT/hello" 2>/dev/null && return 0
	[ -n "$QEMU" ] || die "no qemu-aarch64-static: install qemu-user-static"
	"$QEMU" "$OUT/hello" || die "$QEMU cannot run an arm64 program with the libraries of $QEMU_LD_PREFIX/lib"
	[ "$(id -u)" = 0 ] || die "this kernel does not start arm64 programs, and only root can teach it: run this as root, or let systemd-binfmt register qemu-user-static"
	register
	"$OUT/hello" || die "qemu-aarch64 is registered as $BINFMT/$HANDLER and does not start arm64 programs: is there another handler, switched off?"
}

# register lets this kernel start arm64 programs until we end. F opens qemu now,
# so that it is found from a chroot; P keeps a program's name as it was called.
register() {
	[ -e $BINFMT/register ] || mount -t binfmt_misc binfmt_misc $BINFMT || die "cannot mount binfmt_misc: this kernel, or this container, does not allow it"
	qemu=/usr/libexec/qemu-binfmt/aarch64-binfmt-P flags=PF
	[ -x $qemu ] || qemu=$QEMU flags=F
	printf '%s' ":$HANDLER:M::"'\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'":$qemu:$flags" >$BINFMT/register ||
		die "cannot register qemu-aarch64 in $BINFMT: this container may not"
	trap 'echo -1 >$BINFMT/$HANDLER' EXIT
}

# binary PACKAGE is where its test binary lies, without the suffix.
binary() { echo "$OUT/$(echo "$1" | tr / _)"; }

# rule PACKAGE prints the words of its lines in left-out: skip, only or all, and
# the expression.
rule() { awk -v p="$1" '!/^#/ && $1 == p { print $2, $3 }' "$LEFT_OUT"; }

# compile builds everything first: an error there is known in minutes.
compile() {
	go build ./... || die "not everything builds for arm64"
	for p; do
		go test -c -o "$(binary "$p").test" "./$p" || die "the tests of $p do not build for arm64"
	done
}

# try PACKAGE runs its tests and prints one line about them.
try() {
	if [ -n "$(rule "$1" | sed -n '/^all /p')" ]; then
		printf 'left %s out\n' "$1"
		return
	fi
	log=$(binary "$1").log
	args=()
	while read -r word expression; do
		[ "$word" = skip ] && args+=("-test.skip=$expression")
		[ "$word" = only ] && args+=("-test.run=$expression")
	done < <(rule "$1")
	began=$SECONDS result=ok
	(cd "$1" && exec "$(binary "$1").test" -test.v -test.timeout "${TIMEOUT:-60m}" "${args[@]}") >"$log" 2>&1 || result=FAIL
	passed=$(grep -c '^--- PASS' "$log" || true)
	[ "$passed" -gt 0 ] || result=FAIL # a package without one test proves nothing
	skipped=$(sed -n 's/^ *--- SKIP: \([^ ]*\).*/\1/p' "$log" | tr '\n' ' ')
	printf '%-4s %-32s %4d s  %3d tests%s%s\n' $result "$1" $((SECONDS - began)) "$passed" \
		"${args[*]:+, ${args[*]}}" "${skipped:+, skipped themselves: ${skipped% }}"
	[ $result = ok ] || { failures "$log"; failed="$failed $1"; }
}

# failures LOG prints what failed, or how it ended.
failures() {
	grep -E -A 12 '^ *--- FAIL|^panic|^fatal|SIG[A-Z]{3}' "$1" | head -n 60 | sed 's/^/     /'
	tail -n 3 "$1" | sed 's/^/     /'
	echo "     (all of it: $1)"
}

# known: does left-out name packages that there are, and words that we know?
known() {
	while read -r package word expression reason; do
		[ -n "$reason" ] || die "left-out: '$package $word' has no reason"
		[ -d "$package" ] || die "left-out: no package '$package'"
		case $word in skip | only | all) ;; *) die "left-out: '$word' is neither skip, only nor all" ;; esac
	done < <(grep -v '^#' "$LEFT_OUT" | grep .)
	twice=$(awk '!/^#/ && NF { print $1, $2 }' "$LEFT_OUT" | sort | uniq -d)
	[ -z "$twice" ] || die "left-out: '$twice' twice, and the tests take one expression"
}

setting
known
emulation
if [ $# = 0 ]; then
	module=$(go list -m)
	mapfile -t all < <(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | sed "s|^$module/||" | grep .)
	set -- "${all[@]}"
fi
began=$SECONDS
compile "$@"
printf 'built the tests of %d packages in %d s\n' $# $((SECONDS - began))
failed=
for p; do try "$p"; done
echo "left out: see test/arm64/left-out"
grep -v '^#' "$LEFT_OUT" | grep . || true
printf '%d packages in %d s\n' $# $((SECONDS - began))
[ -z "$failed" ] || die "failed:$failed"
