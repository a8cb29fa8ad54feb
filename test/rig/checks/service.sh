# shellcheck shell=bash disable=SC2154,SC2034 # lib.sh's variables
# service.sh: the daemon under systemd, whatever its camera is.
hang_up
broker
systemctl stop egret
rm -rf /var/lib/egret/*
listen predictions /tmp/predictions
listen telemetry /tmp/telemetry
listen log /tmp/log
config front
mark=$(date +%s)
check "the unit starts and reports readiness" systemctl start egret
eventually "predictions arrive" 60 grep -q '"camera":"front"' /tmp/predictions
check "the local API answers in the sandbox" answers /healthz '^ok'
check "its state names the camera" answers /api/status '"cameras":\[{"name":'
check "it gives the camera's picture" answers /api/cameras/front/snapshot.jpg 'Content-Type: image/jpeg'
check "it serves the dashboard" answers / '<title>egret</title>'
# The sandbox forbids asking the kernel for its clock's state; what timesyncd
# leaves behind is believed.
check "without a time service the clock is not believed" grep -q '"clock":"unsynced"' /tmp/predictions
mkdir -p /run/systemd/timesync
touch /run/systemd/timesync/synchronized
eventually "when timesyncd has set the clock, it is" 30 grep -q '"clock":"synced"' /tmp/predictions
rm /run/systemd/timesync/synchronized
pid=$(main_pid)

# ---- a process beside the agent that takes all of the unit's memory, as the
# trial of a bad model may. A container's limits are the machine's business.
if [ "$RIG" = guest ]; then
	hog() { # is killed, with 128 + 9
		sh -c 'echo 1000 >/proc/self/oom_score_adj; echo $$ >/sys/fs/cgroup/system.slice/egret.service/cgroup.procs; exec tail /dev/zero'
		[ $? = 137 ]
	}
	check "what takes too much memory beside the agent is killed" hog
	check "and the kernel says that it was the unit's limit" grep -q '^oom_kill [1-9]' /sys/fs/cgroup/system.slice/egret.service/memory.events
	before=$(arrived)
	eventually "beside it, predictions go on" 60 more
	check "beside it: still the same process" test "$(main_pid)" = "$pid"
fi

# ---- reload
mark=$(date +%s)
cp /etc/egret/egret.yaml /tmp/good.yaml
echo 'modles: []' >>/etc/egret/egret.yaml
systemctl reload egret
eventually "a wrong file is refused" 30 log_has 'reload refused'
cp /tmp/good.yaml /etc/egret/egret.yaml
config door
systemctl reload egret
eventually "a right file is taken over" 60 grep -q '"camera":"door"' /tmp/predictions
check "reloaded: still the same process" test "$(main_pid)" = "$pid"

# ---- kill -9: systemd brings it back as the next boot of the agent
kill -9 "$(main_pid)"
eventually "killed: it is back, with the next boot number" 60 grep -q '"boot":2' /tmp/predictions

# ---- stop
check "it stops" timeout 30 systemctl stop egret
check "its end was clean" test "$(property Result)" = success
check "the retained status says why it is offline" sh -c "timeout 5 mosquitto_sub -C 1 -t $topic/status | grep '\"offline\".*\"shutdown\"'"
eventually "no number is missing in the first boot" 5 complete 1
eventually "no number is missing in the second boot" 5 complete 2
check "the outbox is empty" sh -c 'egret outbox stat --config /etc/egret/egret.yaml | grep "^stored *0 "'
# A configuration that cannot work is not tried for ever.
cp /etc/egret/egret.yaml /tmp/good.yaml
echo 'modles: []' >>/etc/egret/egret.yaml
systemctl start egret >/dev/null 2>&1
gave_up() { [ "$(property ActiveState)/$(property NRestarts)" = failed/0 ]; }
eventually "a wrong configuration at the start: failed, and not tried again" 20 gave_up
cp /tmp/good.yaml /etc/egret/egret.yaml
hang_up
