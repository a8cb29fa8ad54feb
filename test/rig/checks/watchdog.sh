# shellcheck shell=bash disable=SC2154,SC2034 # lib.sh's variables
# watchdog.sh: native code that hangs in an Invoke, which only a new process
# helps against. The delegate does its work until a file appears.
broker
systemctl stop egret
cp "$here/libtest_delegate.so" /opt/rig/
rm -f /run/rig-stall
listen predictions /tmp/predictions
INFERENCE="inference: {delegate: \"external:/opt/rig/libtest_delegate.so?mode=stall&lost=/run/rig-stall\", threads: 1, probe_timeout: ${WATCHDOG_PROBE:-20s}}" config hanging
mark=$(date +%s)
check "the unit starts on an external delegate" systemctl start egret
eventually "predictions arrive" 60 grep -q '"camera":"hanging"' /tmp/predictions
check "and it is the delegate that runs the model" answers /api/status '"delegate":"external'
pid=$(main_pid)
touch /run/rig-stall
result() { journalctl --no-pager -o cat --since "@$mark" -u egret | grep -q "Failed with result 'watchdog'"; }
eventually "an Invoke hangs: the agent says that there is no progress" 60 log_has 'no progress, systemd will restart the agent'
eventually "systemd's watchdog ends it (Result=watchdog)" 90 result
eventually "and starts it again" 60 running
check "as another process" test "$(main_pid)" != "$pid"
eventually "the delegate that hangs is passed over" 90 log_has 'delegate passed over'
before=$(arrived)
eventually "the agent goes on on the processor" 60 more
check "no core dump was left" sh -c '! find / -xdev \( -name core -o -name "core.*" \) -type f -size +64k -not -path "/usr/*" | grep .'
rm -f /run/rig-stall
hang_up
systemctl stop egret
config front
