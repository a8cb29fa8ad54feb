# shellcheck shell=bash disable=SC2154 # lib.sh's variables
# install.sh: the three commands of a person who has only the package, and what
# it has put where.
broker
[ "$RIG/$ARCH" = guest/arm64 ] || OWN=yes # another machine's instructions take too long
check "1. apt-get install, without a network${OWN:+, with the configuration that the package brings}" install "$here/egret.deb"
OWN=
# The camera that the package's own configuration names is not there, and the
# doctor says so: that is one of its verdicts, not a failure to run.
egret doctor --config /etc/egret/egret.yaml >/tmp/doctor 2>&1
check "2. egret doctor gives its verdicts" grep -q 'disk .*outbox' /tmp/doctor
sed 's/^/    | /' /tmp/doctor | cut -c -150
eventually "3. systemctl status: it runs and has said that it is ready" 60 running
systemctl status --no-pager egret | sed 's/^/    | /' | cut -c -250
check "it is enabled for the next boot" systemctl is-enabled egret
config first
check "its own configuration is taken" systemctl restart egret
content() { egret doctor --config /etc/egret/egret.yaml >/tmp/doctor || true; [ "$(grep -c '^ok *\(camera\|model\|broker\) ' /tmp/doctor)" = 3 ]; }
eventually "the doctor is content with camera, model and broker" 30 content

owner() { stat -c '%U:%G %a' "$1"; }
# mode PATH WANTED
mode() { check "$1 is $2" test "$(owner "$1")" = "$2"; }
status=/proc/$(main_pid)/status
check "it runs as its own user" test "$(ps -o user= -p "$(main_pid)")" = egret
check "its groups are egret and video alone" test "$(awk '/^Groups:/{$1="";print}' "$status" | tr ' ' '\n' | grep . | sort -n | tr '\n' ' ')" = "$(for g in egret video; do getent group $g | cut -d: -f3; done | sort -n | tr '\n' ' ')"
for set in Inh Prm Eff Bnd Amb; do
	check "it holds no capability (Cap$set)" grep -q "^Cap$set:[[:space:]]*0000000000000000\$" "$status"
done
check "it may gain no privilege" grep -q '^NoNewPrivs:[[:space:]]*1$' "$status"
check "seccomp filters its system calls" grep -q '^Seccomp:[[:space:]]*2$' "$status"
mode /usr/bin/egret "root:root 755"
mode /usr/lib/egret/libtensorflowlite_c.so "root:root 644"
mode /etc/egret "root:egret 750"
mode /var/lib/egret "egret:egret 750"
mode /var/lib/egret/outbox.db "egret:egret 600"
check "nothing in the state folder is for others" test -z "$(find /var/lib/egret -mindepth 1 -perm /077)"
check "the program finds its own library" sh -c 'egret version | grep -i tensorflow'
check "the exposure is 1.5 at most" systemd-analyze security --threshold=15 --no-pager egret.service
note "$(systemd-analyze security --no-pager egret.service | tail -n 1)"
