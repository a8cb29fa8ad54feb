# shellcheck shell=bash disable=SC2154,SC2034 # lib.sh's variables
# threads.sh: the real library's threads under the seccomp filter. strace, from
# outside the sandbox, sees every call of the agent and of its trial processes
# while models are loaded that XNNPACK (int8) and the library's own kernels
# (uint8) run with two threads each; the guest also runs the SSD model.
broker
systemctl stop egret
listen predictions /tmp/predictions
config before
check "the unit starts" systemctl start egret
# What is refused and does not matter is not looked at: clone3, because no filter
# can read its arguments (the C library takes clone then); adjtimex, see the unit;
# and by the kernel itself, not by the filter, epoll on plain files, as Go's
# runtime tries. What a signal handler returns to is no answer of rt_sigreturn.
# They are left out here and not below: of a call that another thread interrupts
# strace may keep the end alone, without the name.
strace -f -q -o /tmp/calls -e 'trace=!clone3,adjtimex,epoll_ctl,rt_sigreturn' -e status=failed -p "$(main_pid)" &
tracer=$!
eventually "strace is on" 20 grep -q 'TracerPid:[[:space:]]*[1-9]' "/proc/$(main_pid)/status"
cat >/etc/egret/egret.yaml <<-YAML
	device: rig
	models:
	  - {name: bytes, path: /opt/rig/models/colours, threshold: 0}
	  - {name: ints, path: /opt/rig/models/colours8, threshold: 0}
	$([ "$RIG" = guest ] && echo '  - {name: objects, path: /usr/share/egret/models/ssd_mobilenet_v1_quant, threshold: 0}')
	cameras:
	  - {name: own, model: bytes, source: "pattern:?size=320x240&fps=1"}
	  - {name: xnnpack, model: ints, source: "pattern:?size=320x240&fps=1"}
	$([ "$RIG" = guest ] && echo '  - {name: ssd, model: objects, source: "pattern:?size=320x240&fps=1"}')
	inference: {delegate: [xnnpack, cpu], threads: 2, probe_timeout: 5m}
	mqtt: {broker: "tcp://127.0.0.1:1883"}
	outbox: {flush_interval: 1s}
YAML
systemctl reload egret
for camera in own xnnpack $([ "$RIG" = guest ] && echo ssd); do
	eventually "predictions of the camera $camera arrive" 900 grep -q "\"camera\":\"$camera\"" /tmp/predictions
done
check "XNNPACK runs the int8 model" answers /api/status '"delegate":"xnnpack"'
check "strace saw calls that fail in the ordinary way" test -s /tmp/calls
kill "$tracer"
wait "$tracer" 2>/dev/null
refused() {
	grep -aE 'EPERM|ENOSYS|SIGSYS' /tmp/calls | sed -E 's/^[0-9]+ +//; s/^<\.\.\. ([a-z0-9_]+) resumed.*= -1 ([A-Z]+).*/\1 \2/; s/^([a-z0-9_]+)\(.*= -1 ([A-Z]+).*/\1 \2/' | sort | uniq -c
}
check "no call of the library's threads is refused" test -z "$(refused)"
refused | sed 's/^/    | /'
hang_up
config front
systemctl restart egret
