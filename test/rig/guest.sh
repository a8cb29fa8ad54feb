#!/bin/bash
# guest.sh runs as root in the guest (see e2e.sh): each check prints a line, and
# the exit code is the number of those that failed. Emulated arithmetic is some
# 60 times slower than real: waits are long, and nothing here measures speed.
set -u
failed=0
ok() { echo "ok - $1"; }
not_ok() { echo "not ok - $1"; failed=$((failed + 1)); }
check() { # check NAME COMMAND…
	local name=$1
	shift
	if "$@" >/tmp/check.out 2>&1; then ok "$name"; else not_ok "$name"; sed 's/^/    /' /tmp/check.out | tail -n 5; fi
}
# eventually NAME SECONDS COMMAND…
eventually() {
	local name=$1 end=$((SECONDS + $2))
	shift 2
	until "$@" >/tmp/check.out 2>&1; do
		if [ $SECONDS -ge $end ]; then
			not_ok "$name"
			journalctl -u egret -n 15 --no-pager -o cat | sed 's/^/    /'
			return
		fi
		sleep 0.5
	done
	ok "$name"
}
log_has() { journalctl -u egret --no-pager -o cat --since "@$mark" | grep -q -- "$1"; }
main_pid() { systemctl show -p MainPID --value egret; }

# ---- the guest: camera and broker
cp -a root/. /
systemd-sysusers && systemd-tmpfiles --create
systemctl daemon-reload
modprobe vhci-hcd && modprobe uvcvideo
plug() { ./uvcsim frame.jpg 5 & cam=$!; }
unplug() { kill -9 "$cam"; wait "$cam" 2>/dev/null; }
plug
device() { ls /dev/v4l/by-id/*video-index0; }
eventually "the kernel's driver offers the camera" 60 device
by_id=$(device)
systemctl is-active -q mosquitto || systemctl start mosquitto

config() { # config CAMERA-NAME
	cat >/etc/egret/egret.yaml <<-YAML
		device: guest
		models:
		  - {name: classifier, path: /usr/share/egret/models/mobilenet_v1_1.0_224_quant, top_k: 1, threshold: 0}
		cameras:
		  - {name: $1, source: "v4l2:$by_id?size=600x400&fps=5", stall_timeout: 10s}
		outbox: {flush_interval: 1s}
		telemetry: {interval: 2s}
		mqtt: {broker: "tcp://127.0.0.1:1883"}
		log: {mqtt: {enabled: true}}
		# A trial of a model takes seconds here, and minutes beside other work.
		inference: {probe_timeout: 3m}
	YAML
}
config front
mosquitto_sub -t 'egret/v1/default/dev/guest/predictions' >/tmp/predictions &
mosquitto_sub -t 'egret/v1/default/dev/guest/telemetry' >/tmp/telemetry &
mosquitto_sub -t 'egret/v1/default/dev/guest/log' >/tmp/log &

# ---- start
mark=$(date +%s)
check "the unit starts and reports readiness" systemctl start egret
check "it is active" systemctl is-active egret
check "it runs as its own user" test "$(ps -o user= -p "$(main_pid)")" = egret
ask() { # ask PATH: what the local API answers
	exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&3 && timeout 20 cat <&3
}
answers() { ask "$1" | grep -aq "$2"; }
check "the local API answers in the sandbox" answers /healthz '^ok'
check "its state names the camera" answers /api/status '"cameras":\[{"name":'
check "it gives the camera's picture" answers /api/cameras/front/snapshot.jpg 'Content-Type: image/jpeg'
check "it serves the dashboard" answers / '<title>egret</title>'
check "it holds no capability" grep -q '^CapEff:[[:space:]]*0000000000000000$' "/proc/$(main_pid)/status"
eventually "the nearest size that the camera has is taken, and said" 30 log_has 640x480
eventually "predictions of the camera arrive, and see the peacock" 120 grep -q '"camera":"front".*"peacock"' /tmp/predictions

# ---- unplug and plug in
arrived() { grep -o '"seq":[0-9]*' /tmp/predictions | wc -l; }
pid=$(main_pid)
mark=$(date +%s)
unplug
eventually "unplugged: the agent says so" 60 log_has 'camera=front'
eventually "unplugged: the broker is told" 60 grep -q '"level":"warn".*"camera":"front"' /tmp/log
eventually "unplugged: telemetry shows it waiting" 60 sh -c 'tail -n 1 /tmp/telemetry | grep -q "\"state\":\"waiting\""'
check "unplugged: the same process runs on" test "$(main_pid)" = "$pid"
plug
eventually "plugged in: the device is there again" 60 device
before=$(arrived)
more() { [ "$(arrived)" -gt $((before + 2)) ]; }
eventually "plugged in: predictions go on" 120 more
check "plugged in: still the same process" test "$(main_pid)" = "$pid"

# ---- a camera that freezes, and one that sends rubbish
mark=$(date +%s)
kill -USR1 "$cam"
eventually "frozen: the stall is noticed" 60 log_has 'no frame for'
kill -USR1 "$cam"
before=$(arrived)
eventually "thawed: predictions go on" 120 more
kill -USR2 "$cam"
eventually "truncated pictures are counted" 120 sh -c 'tail -n 1 /tmp/telemetry | grep -q "\"failed\":[1-9]"'
kill -USR2 "$cam"
before=$(arrived)
eventually "whole pictures again: predictions go on" 120 more

# ---- a process beside the agent that takes all of the unit's memory, as the
# trial of a bad model may
hog() { # is killed, with 128 + 9
	sh -c 'echo 1000 >/proc/self/oom_score_adj; echo $$ >/sys/fs/cgroup/system.slice/egret.service/cgroup.procs; exec tail /dev/zero'
	[ $? = 137 ]
}
check "what takes too much memory beside the agent is killed" hog
check "and the kernel says that it was the unit's limit" grep -q '^oom_kill [1-9]' /sys/fs/cgroup/system.slice/egret.service/memory.events
before=$(arrived)
eventually "beside it, predictions go on" 120 more
check "beside it: still the same process" test "$(main_pid)" = "$pid"

# ---- reload
mark=$(date +%s)
cp /etc/egret/egret.yaml /tmp/good.yaml
echo 'modles: []' >>/etc/egret/egret.yaml
systemctl reload egret
eventually "a wrong file is refused" 30 log_has 'reload refused'
cp /tmp/good.yaml /etc/egret/egret.yaml
config door
systemctl reload egret
eventually "a right file is taken over" 120 grep -q '"camera":"door"' /tmp/predictions
check "reloaded: still the same process" test "$(main_pid)" = "$pid"

# ---- kill -9: systemd brings it back as the next boot of the agent
kill -9 "$(main_pid)"
eventually "killed: it is back, with the next boot number" 120 grep -q '"boot":2' /tmp/predictions

# ---- stop
check "it stops" timeout 15 systemctl stop egret
check "its end was clean" test "$(systemctl show -p Result --value egret)" = success
check "the retained status says why it is offline" sh -c "timeout 5 mosquitto_sub -C 1 -t egret/v1/default/dev/guest/status | grep '\"offline\".*\"shutdown\"'"
sleep 1
gap() { # are the numbers of boot $1 complete?
	grep -o "\"boot\":$1,\"seq\":[0-9]*" /tmp/predictions | sed 's/.*://' | sort -n -u >/tmp/seqs
	[ -s /tmp/seqs ] && [ "$(wc -l </tmp/seqs)" = "$(tail -n 1 /tmp/seqs)" ]
}
check "no number is missing in the first boot" gap 1
check "no number is missing in the second boot" gap 2
check "the outbox is empty" sh -c 'egret outbox stat | grep "^stored *0 "'

# ---- a camera that only has YUYV
modprobe vivid 2>/dev/null
vivid=$(grep -l 'vivid.*vid-cap' /sys/class/video4linux/video*/name | head -n 1)
check "vivid offers a camera" test -n "$vivid"
by_id=/dev/$(basename "$(dirname "$vivid")")
config yuyv
check "the unit starts on vivid" systemctl start egret
eventually "predictions of the YUYV camera arrive" 120 grep -q '"camera":"yuyv"' /tmp/predictions
systemctl stop egret
echo "$failed checks failed"
exit "$failed"
