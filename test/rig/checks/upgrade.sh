# shellcheck shell=bash disable=SC2154,SC2034 # lib.sh's variables
# upgrade.sh: the package's whole life, from an older version to purge and back,
# each with the service at work. It prints the table for docs/TESTING.md.
hang_up
broker
systemctl stop egret
DEBIAN_FRONTEND=noninteractive apt-get purge -y egret >/dev/null 2>&1
rm -rf /etc/egret /var/lib/egret
systemctl daemon-reload

# All files of the machine but what dpkg, apt, systemd and the account files keep
# of every package's life (the list says why they are exempt in docs/TESTING.md).
files() {
	find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp -o -path /payload -o -path /scratch \
		-o -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/mosquitto -o -path /opt/rig \
		-o -path /var/lib/systemd/timers -o -path /var/lib/systemd/random-seed -o -path /root \) -prune -o -print | grep -v '^/etc/\(passwd\|group\|shadow\|gshadow\|subuid\|subgid\)-$\|^/etc/.pwd.lock$' | sort
}
files >/tmp/files.before
rows=
row() { rows="$rows| $1 | $2 | $3 | $4 | $5 | $6 |"$'\n'; }
version() { dpkg-query -W -f '${Version}' egret; }
mine() { grep -q '^device: mine$' /etc/egret/egret.yaml; }
# settle NAME: the row of the table for what is now, and that the service works
settle() {
	local backlog
	eventually "$1: the service runs" 60 running || true
	backlog=$(account stored)
	row "$1" "$(version)" "$(property ActiveState), $([ "$(main_pid)" = "${pid:-}" ] && echo 'same process' || echo restarted)" "$(mine && echo "the owner's" || echo "the package's")" "${backlog:-none}" "$(systemctl is-enabled egret 2>/dev/null)"
	pid=$(main_pid)
}
check "an older version is installed" install "$here/older.deb"
settle "install the older"
systemctl stop mosquitto
config old
sed -i 's/^device: rig/device: mine/' /etc/egret/egret.yaml
systemctl restart egret
backlog() { [ "$(account stored)" -ge "$1" ]; }
eventually "a backlog waits, with the broker away" 60 backlog 8
pid=$(main_pid)
was=$(account stored)

upgraded() { [ "$(version)" = "$1" ] && running && [ "$(main_pid)" != "$pid" ]; }
check "upgrade, with a changed configuration" install -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$here/egret.deb"
eventually "the service runs the new version" 60 upgraded "$VERSION"
eventually "the backlog is kept" 60 backlog "$was"
check "the owner's configuration is kept" mine
settle "upgrade"
check "the newest version has another default configuration: the owner's stays" install -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$here/newer.deb"
check "the package's is beside it" grep -q 'the newest default' /etc/egret/egret.yaml.dpkg-dist
check "the owner's configuration is kept again" mine
settle "upgrade, other defaults"
was=$(account stored)
check "downgrade" install -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$here/older.deb"
eventually "the older version runs" 60 upgraded 0.0.0~0older
check "the configuration is kept" mine
eventually "the backlog is kept on the way down" 60 backlog "$was"
settle "downgrade"
check "upgrade again" install -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$here/egret.deb"
settle "upgrade again"
check "reinstall" install --reinstall -o Dpkg::Options::=--force-confold "$here/egret.deb"
settle "reinstall"
systemctl disable --now egret >/dev/null 2>&1
pid=0
check "reinstall where the owner has disabled it" install --reinstall -o Dpkg::Options::=--force-confold "$here/egret.deb"
check "disabled stays disabled" test "$(systemctl is-enabled egret 2>/dev/null)" = disabled
check "and stopped stays stopped" stopped
row "reinstall, disabled" "$(version)" "$(property ActiveState)" "$(mine && echo "the owner's")" "on disk" "$(systemctl is-enabled egret 2>/dev/null)"
systemctl enable --now egret >/dev/null 2>&1
eventually "enabled again: it runs" 60 running
was=$(account stored)

check "remove" env DEBIAN_FRONTEND=noninteractive apt-get remove -y egret
check "removed: nothing of it runs" sh -c '! pgrep -u egret'
check "removed: the unit is gone" sh -c '! systemctl cat egret'
check "removed: program and library are gone" test ! -e /usr/bin/egret -a ! -e /usr/lib/egret
check "removed: the configuration stays" mine
check "removed: the state stays" test -s /var/lib/egret/outbox.db
check "removed: the user stays, who owns the state" getent passwd egret
row remove none "gone" "the owner's" "on disk" gone
check "installed again over it" install "$here/egret.deb"
eventually "the backlog is there again" 60 backlog "$was"
settle "install again"
broker
drained() { [ "$(account stored)" = 0 ]; }
eventually "the broker comes, and the backlog goes" 200 drained

check "purge" env DEBIAN_FRONTEND=noninteractive apt-get purge -y egret
files >/tmp/files.after
left=$(comm -13 /tmp/files.before /tmp/files.after)
check "purged: no file more than before the installation" test -z "$left"
[ -z "$left" ] || printf '%s\n' "$left" | head -n 20 | sed 's/^/    + /'
# The rig has installed it before, and what that left behind would be in both lists.
named=$(grep egret /tmp/files.after)
check "purged: no file bears its name" test -z "$named"
[ -z "$named" ] || printf '%s\n' "$named" | head -n 20 | sed 's/^/    + /'
check "purged: no file less" test -z "$(comm -23 /tmp/files.before /tmp/files.after)"
comm -23 /tmp/files.before /tmp/files.after | head -n 5 | sed 's/^/    - /'
check "purged: dpkg knows nothing of it" sh -c '! dpkg -s egret 2>/dev/null'
check "purged: the runtime folder and udev's names are gone" test ! -e /run/egret -a ! -e /dev/egret
row purge none "gone" "gone" "gone" gone
check "installed after purge" install "$here/egret.deb"
settle "install after purge"
note "the table for docs/TESTING.md:"
printf '| step | version | service | configuration | backlog | enabled |\n|---|---|---|---|---|---|\n%s' "$rows"
config front
systemctl restart egret
