# shellcheck shell=bash disable=SC2154,SC2034 # lib.sh's variables
# rebooted.sh: the boot after boot.sh's.
check "the broker is not there yet" sh -c '! systemctl is-active -q mosquitto'
eventually "the service is up by itself" 60 running
arrive() { [ -s /var/lib/rig/ids ] && ! comm -23 /var/lib/rig/ids <(grep -o '"id":"[^"]*"' /tmp/predictions | sort -u) | grep .; }
systemctl start mosquitto
mosquitto_sub -c -i rig -q 1 -t "$topic/predictions" >/tmp/predictions &
listeners=$!
eventually "everything that waited before the reboot arrives ($(cat /var/lib/rig/stored))" 200 arrive
# The agent's boots: the one whose predictions were counted, the one until the
# reboot, and this. An id is device/boot/number.
counted=$(head -n 1 /var/lib/rig/ids | cut -d/ -f2)
for boot in "$counted" $((counted + 1)) $((counted + 2)); do
	seen() { grep -q "\"boot\":$boot," /tmp/predictions; }
	eventually "boot $boot of the agent: predictions arrive" 60 seen
	eventually "boot $boot of the agent: no number is missing" 60 complete "$boot"
done
hang_up
