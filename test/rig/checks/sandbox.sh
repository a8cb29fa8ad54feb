# shellcheck shell=bash disable=SC2154 # lib.sh's variables
# sandbox.sh: a program that tries what an intruder would, in the very unit: a
# drop-in puts it in the agent's place and changes nothing else. The modes of
# what it tries are opened to all, so that it is the sandbox that refuses.
broker
systemctl stop egret
cp "$here/sandbox" /opt/rig/
chmod 755 /root /home
for d in /usr /etc /var/lib; do mkdir -p $d/rig-open && chmod 777 $d/rig-open; done
echo x >/tmp/rig-open
echo x >/dev/shm/rig-open
chmod 644 /tmp/rig-open /dev/shm/rig-open
if [ "$RIG" = guest ]; then
	mkdir -p /dev/dri
	[ -e /dev/dri/renderD128 ] || mknod /dev/dri/renderD128 c 226 128
	[ -e /dev/video0 ] || modprobe vivid n_devs=1
	[ -d /dev/bus/usb ] || modprobe vhci-hcd
	udevadm settle
	chmod a+rw /dev/mem /dev/kmsg /dev/vda /dev/dri/renderD128 /dev/bus/usb/001/001
fi
probe() { # the table
	{
		printf '%s\n' "[Service]" "Type=oneshot" "ExecStart=" "ExecStart=/opt/rig/sandbox" "ExecReload=" WatchdogSec=0 Restart=no "Environment=RIG=$RIG" StandardOutput=truncate:/run/rig-table
	} | drop_in probe
	timeout $((120 * FACTOR)) systemctl start egret
	no_drop_in probe
	systemctl reset-failed egret 2>/dev/null
}
probe
# A row that is missing must not pass for one that is as wanted: the program says
# at the end how many there are. One is the heading.
rows=$(($(grep -c '^| ' /run/rig-table) - 1))
check "the table has all its rows ($rows)" grep -qx "$rows rows" /run/rig-table
while IFS='|' read -r _ name wanted got verdict _; do
	case $name in *tried*) continue ;; esac
	name=$(echo $name) wanted=$(echo $wanted) got=$(echo $got)
	check "sandbox: $name: $got" test "$(echo $verdict)" = "as wanted"
done < <(grep '^| ' /run/rig-table)
note "the table for docs/TESTING.md:"
grep '^|' /run/rig-table
if [ "$RIG" = guest ]; then
	# An accelerator is opened by its drop-in and by nothing else.
	opened=$here/coral-usb.conf
	check "the package has the drop-in of the Coral" test -s "$opened"
	if [ -s "$opened" ]; then
		drop_in coral-usb <"$opened"
		# Not the first run's table, should the unit not start.
		rm -f /run/rig-table
		probe
		check "with coral-usb.conf a USB device is opened" grep -q '^| open a USB device, open to all | denied | allowed' /run/rig-table
		check "and still no GPU" grep -q "^| open a GPU's node, open to all | denied | denied" /run/rig-table
		no_drop_in coral-usb
	fi
fi
rm -rf /usr/rig-open /etc/rig-open /var/lib/rig-open /tmp/rig-open /dev/shm/rig-open /var/lib/egret/rig-*
chmod 700 /root
check "the unit is as before" systemctl start egret
