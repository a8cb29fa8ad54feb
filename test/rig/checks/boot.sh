# shellcheck shell=bash disable=SC2154,SC2034 # lib.sh's variables
# boot.sh: first boot of the root disk that the next boots share. The package is
# installed, a backlog builds up while the broker is away, and the machine goes
# down in order. A client with a session that lasts is subscribed before, so that
# nothing the agent sends later is missed.
broker
check "installed" install "$here/egret.deb"
config reboot
subscribe() { mosquitto_sub -c -i rig -q 1 -t "$topic/predictions" "$@"; }
systemctl restart egret
eventually "predictions go to the broker" 60 subscribe -C 1
systemctl stop egret
mkdir -p /var/lib/rig
systemctl disable --now mosquitto >/dev/null 2>&1
check "the agent starts without the broker" systemctl start egret
backlog() { [ "$(account stored)" -ge 10 ]; }
eventually "a backlog builds up" 60 backlog
systemctl stop egret
egret outbox stat --config /etc/egret/egret.yaml | tee /tmp/stat | sed 's/^/    | /'
egret outbox ls --config /etc/egret/egret.yaml >/tmp/ls
awk '/^stored/{print $2}' /tmp/stat >/var/lib/rig/stored
check "egret outbox stat counts them" test "$(cat /var/lib/rig/stored)" -ge 10
egret outbox export --config /etc/egret/egret.yaml | grep -o '"id":"[^"]*"' | sort -u >/var/lib/rig/ids
check "and they have as many ids" test "$(wc -l </var/lib/rig/ids)" = "$(cat /var/lib/rig/stored)"
# The machine goes down with the agent at work.
systemctl start egret
sync
