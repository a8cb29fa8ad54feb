# shellcheck shell=bash disable=SC2154,SC2034 # lib.sh's variables
# recovered.sh: the boot after the power cut. e2e.sh has put into the payload what
# the agent had said to be on disk: PROMISED="BOOT STORED".
read -r boot stored <<<"$PROMISED"
note "promised before the cut: $stored predictions of boot $boot"
check "the cut was honest: what was not flushed is not there" test ! -s /var/lib/rig/unflushed
eventually "the service is up by itself" 60 running
check "the outbox was not damaged" sh -c '! ls /var/lib/egret/*.damaged-* 2>/dev/null'
systemctl start mosquitto
mosquitto_sub -c -i rig -q 1 -t "$topic/predictions" >/tmp/predictions &
listeners=$!
eventually "every one of them arrives, none missing" 200 complete "$boot" "$stored"
next() { grep -q "\"boot\":$((boot + 1))," /tmp/predictions; }
eventually "the agent's next boot has the next number" 60 next
eventually "and lacks none either" 60 complete $((boot + 1))
hang_up
