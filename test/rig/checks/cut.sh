# shellcheck shell=bash disable=SC2154,SC2034 # lib.sh's variables
# cut.sh: ends in a power cut, which e2e.sh makes when it has read enough lines
# @@FLUSHED BOOT STORED on the console. All that the agent has said to be on disk
# by then must be there after it. The file system commits nothing of its own
# accord (commit=900), and no page is written because it is old: what survives
# was fsynced. A file that was not is the proof of that.
systemctl stop egret
systemctl stop mosquitto
rm -f /var/lib/egret/outbox.db
config cut
sync
mount -o remount,commit=900 / || exit
sysctl -qw vm.dirty_writeback_centisecs=0 vm.dirty_expire_centisecs=360000
check "the agent starts without the broker" systemctl start egret
boot() { ask '/api/predictions?limit=1' | grep -ao '"boot":[0-9]*' | head -n 1 | sed 's/.*://'; }

until [ -n "$(boot)" ]; do sleep 0.3; done
now=$(boot)
echo "this was never flushed" >/var/lib/rig/unflushed
last=0
for _ in $(seq 600); do
	n=$(account stored)
	if [ "${n:-0}" -gt "$last" ]; then
		last=$n
		echo "@@FLUSHED $now $n"
	fi
	sleep 0.2
done
not_ok "the power was cut"
