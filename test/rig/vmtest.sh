#!/bin/bash
# vmtest.sh PAYLOAD_DIR  -- boot a throw-away Debian guest, run PAYLOAD_DIR/test.sh as root there,
# print its output, exit with its exit code (124 = timeout, 125 = no result / no test.sh).
# env: ARCH=amd64|arm64  BASE=dir with base.ext4,vmlinuz,initrd  TIMEOUT=300  SMP=2  MEM=1024
#      OUT=dir (files the test wrote under /scratch are copied there)  SERIAL=file (full console)  APPEND="kernel args"
#      CUT_ON='regex'  kill -9 qemu (power cut) as soon as the console shows it; then exit 0
#      SCRATCH_LOG=file  log every write/flush of the scratch disk (qemu blklogwrites) for replay.py
#      KEEP_SCRATCH=img (use this raw image as the /scratch disk, keep it: for power-cut tests)  EXTRA="qemu args"
#      KEEP_ROOT=qcow2 (make it over the base unless it is there, and keep it: the next boot goes on with it. What the
#      guest flushes is written through to it, so that CUT_ON loses what a power cut loses, and nothing else)
set -uo pipefail
PAY=$(realpath "${1:?payload dir}"); ARCH=${ARCH:-amd64}; BASE=${BASE:-${RIG_CACHE:-$HOME/.cache/egret-rig}/base-$ARCH}
TIMEOUT=${TIMEOUT:-300}; SMP=${SMP:-2}; MEM=${MEM:-1024}
W=$(mktemp -d "${TMPDIR:-/tmp}/vmtest.XXXXXX"); SERIAL=${SERIAL:-$W/serial.log}; trap 'rm -rf "$W"' EXIT
mkimg(){ local d=$1 f=$2 s; s=$(du -sm "$d" | cut -f1); truncate -s $((s*12/10+16))M "$f"; mke2fs -q -t ext4 -m 0 -O ^has_journal -d "$d" "$f"; }
mkimg "$PAY" "$W/payload.img" || exit 125
SC=${KEEP_SCRATCH:-$W/scratch.img}
[ -s "$SC" ] || { truncate -s ${SCRATCH_MB:-256}M "$SC"; mke2fs -q -t ext4 -m 0 "$SC"; }
RT=${KEEP_ROOT:-$W/root.qcow2}
[ -s "$RT" ] || qemu-img create -q -f qcow2 -b "$(realpath "$BASE/base.ext4")" -F raw "$RT"
case $ARCH in
 amd64) Q=(qemu-system-x86_64 -M q35); CON=ttyS0; CPU=${CPU:-max}; ACC=${ACCEL:-tcg,thread=multi,tb-size=512};;
 arm64) Q=(qemu-system-aarch64 -M virt); CON=ttyAMA0; CPU=${CPU:-cortex-a53}; ACC=${ACCEL:-tcg,thread=multi,tb-size=512};;
esac
blk(){ echo "-drive if=none,id=$1,file=$2,format=$3,cache=$4 -device virtio-blk-pci,drive=$1,serial=$1"; }
scratch(){ if [ -n "${SCRATCH_LOG:-}" ]; then truncate -s 2G "$SCRATCH_LOG"
  echo "-blockdev driver=blklogwrites,node-name=scratch,file.driver=file,file.filename=$SC,log.driver=file,log.filename=$SCRATCH_LOG,log-sector-size=512,log-super-update-interval=1 -device virtio-blk-pci,drive=scratch,serial=scratch"
  else blk scratch "$SC" raw "${SCRATCH_CACHE:-writeback}"; fi; }
: > "$SERIAL"; t0=$(date +%s.%N)
# shellcheck disable=SC2046 # blk prints several words
"${Q[@]}" -accel "$ACC" -cpu "$CPU" -smp "$SMP" -m "$MEM" -nodefaults -display none -no-reboot \
  -serial file:"$SERIAL" -kernel "$BASE/vmlinuz" -initrd "$BASE/initrd" \
  -append "root=/dev/vda rw console=$CON quiet loglevel=4 panic=-1 mitigations=off audit=0 systemd.show_status=0 ${APPEND:-}" \
  $(blk root "$RT" qcow2 "$([ -n "${KEEP_ROOT:-}" ] && echo writeback || echo unsafe)") $(blk payload "$W/payload.img" raw unsafe) $(scratch) \
  -device virtio-rng-pci ${EXTRA:-} >"$W/qemu.log" 2>&1 </dev/null &
qp=$!; end=$((SECONDS+TIMEOUT)); cut=0; q=
trap 'kill -9 $qp 2>/dev/null; rm -rf "$W"' EXIT; trap 'exit 130' INT TERM
# What the checks say is printed as they say it.
tail --pid=$qp -n +1 -s 0.5 -f "$SERIAL" | sed -u -n -e 's/\r//g' -e '/@@VMTEST-BEGIN/,/@@VMTEST-END/p' &
while kill -0 $qp 2>/dev/null; do
  if [ -n "${CUT_ON:-}" ] && grep -q -E "$CUT_ON" "$SERIAL"; then kill -9 $qp; cut=1; break; fi
  [ $SECONDS -ge $end ] && { kill -9 $qp; q=124; break; }
  sleep 0.1
done
wait $qp 2>/dev/null; r=$?; q=${q:-$r}; trap 'rm -rf "$W"' EXIT
t1=$(date +%s.%N)
sleep 1 # the printer's last lines
[ -n "${OUT:-}" ] && { mkdir -p "$OUT"; debugfs -R "rdump / $(realpath $OUT)" "$SC" >/dev/null 2>&1; }
awk "BEGIN{printf \"vmtest: qemu rc=$q wall=%.1fs\n\", $t1-$t0}" >&2
[ $cut = 1 ] && { echo "vmtest: power cut" >&2; exit 0; }
rc=$(tr -d '\r' < "$SERIAL" | sed -n 's/.*@@VMTEST-END rc=\([0-9]*\).*/\1/p' | tail -1)
if [ -z "$rc" ]; then cat "$W/qemu.log" >&2; tail -n 30 "$SERIAL" >&2; { [ "$q" = 124 ] || [ "$q" = 137 ]; } && exit 124; exit 125; fi
exit $rc
