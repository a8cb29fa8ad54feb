# shellcheck shell=bash disable=SC2154,SC2034,SC2012 # lib.sh's variables; ls lists device names
# camera.sh: cameras that the kernel's own drivers serve: a software USB camera
# (MJPEG) behind the virtual host controller, and vivid (YUYV).
hang_up
systemctl stop egret
rm -rf /var/lib/egret/*
listen predictions /tmp/predictions
# The service is there before the kernel knows of any camera's driver: the class
# that its sandbox names must be open to what is plugged in later.
SOURCE="v4l2:/dev/video0?size=640x480&fps=5" config late
check "the unit starts without a camera" systemctl start egret
check "there is no camera yet, nor its driver" sh -c '! [ -e /dev/video0 ] && ! grep -q ^uvcvideo /proc/modules'
modprobe vhci-hcd && modprobe uvcvideo
plug() { "$here/uvcsim" "$here/frame.jpg" 5 & cam=$!; }
unplug() {
	kill -9 "$cam"
	wait "$cam" 2>/dev/null
}
plug
device() { ls /dev/v4l/by-id/*video-index0; }
eventually "the kernel's driver offers the camera" 60 device
eventually "a camera that came after the service is let in" 60 grep -q '"camera":"late"' /tmp/predictions
# The package's udev rule names it by its serial number, and by its port.
named() { # named PREFIX: a stable name of this kind leads to the camera
	local found
	for found in /dev/egret/"$1"*; do [ "$(readlink -f "$found")" = "$(readlink -f "$(device)")" ] && return; done
	return 1
}
eventually "the udev rule names the camera by its id" 20 named id-
check "and by its port" named port-
note "stable names: $(cd /dev/egret 2>/dev/null && ls -1 | tr '\n' ' ')"
# Asked of the driver, not of the property that the rule itself looks at. A
# metadata node's driver captures pictures too, the node does not.
captures() { v4l2-ctl -d "$1" --info | sed -n '/Device Caps/,$p' | grep -q 'Video Capture'; }
only_captures() { for n in /dev/egret/*; do captures "$n" || return; done; }
check "the names are for nothing but what captures" only_captures
name=$(echo /dev/egret/id-*)
[ -e "$name" ] || name=$(device)
listen telemetry /tmp/telemetry
listen log /tmp/log
MODEL=/usr/share/egret/models/mobilenet_v1_1.0_224_quant SOURCE="v4l2:$name?size=600x400&fps=5" config peacock
mark=$(date +%s)
check "the unit starts on the camera" systemctl restart egret
eventually "the nearest size that the camera has is taken, and said" 30 log_has 640x480
eventually "predictions of the camera arrive, and see the peacock" 120 grep -q '"camera":"peacock".*"peacock"' /tmp/predictions
# The rest does not depend on the model; a small one spares minutes.
SOURCE="v4l2:$name?size=640x480&fps=5" config front
systemctl reload egret
eventually "a small model sees it too" 60 grep -q '"camera":"front"' /tmp/predictions

# ---- unplug and plug in
pid=$(main_pid)
mark=$(date +%s)
unplug
eventually "unplugged: the agent says so" 60 log_has 'camera failed, trying again.*camera=front'
eventually "unplugged: the broker is told" 60 grep -q '"level":"warn".*"camera":"front"' /tmp/log
eventually "unplugged: telemetry shows it waiting" 60 sh -c 'tail -n 1 /tmp/telemetry | grep -q "\"state\":\"waiting\""'
check "unplugged: its stable name is gone" test ! -e "$name"
check "unplugged: the same process runs on" test "$(main_pid)" = "$pid"
plug
eventually "plugged in: the device is there again, under its name" 60 test -e "$name"
before=$(arrived)
eventually "plugged in: predictions go on" 120 more
check "plugged in: still the same process" test "$(main_pid)" = "$pid"

# ---- a camera that freezes, and one that sends rubbish
mark=$(date +%s)
kill -USR1 "$cam"
eventually "frozen: the stall is noticed" 60 log_has 'no frame for'
kill -USR1 "$cam"
before=$(arrived)
eventually "thawed: predictions go on" 120 more
failures() { tail -n 1 /tmp/telemetry | grep -o '"failed":[0-9]*' | awk -F: '{ n += $2 } END { print n + 0 }'; }
was=$(failures)
kill -USR2 "$cam"
counted() { [ "$(failures)" -gt "$was" ]; }
eventually "truncated pictures are counted" 120 counted
kill -USR2 "$cam"
before=$(arrived)
eventually "whole pictures again: predictions go on" 120 more

# ---- a camera that only has YUYV
modprobe vivid n_devs=1 2>/dev/null
vivid=$(grep -l 'vivid.*vid-cap' /sys/class/video4linux/video*/name | head -n 1)
check "vivid offers a camera" test -n "$vivid"
SOURCE="v4l2:/dev/$(basename "$(dirname "$vivid")")?size=640x360&fps=5" config yuyv
systemctl reload egret
eventually "predictions of the YUYV camera arrive" 120 grep -q '"camera":"yuyv"' /tmp/predictions
hang_up
config front
systemctl reload egret
