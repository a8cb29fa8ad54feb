# shellcheck shell=bash disable=SC2034 # the checks use these variables
# lib.sh is sourced by the checks: what they share. Each check prints a line.
# RIG (guest or container), ARCH, PHASE and FACTOR, by which all waiting is
# longer, come from the payload's rig.env. Emulated arithmetic is some 60 times
# slower than real: waits are long, and nothing here measures speed.
failed=0
here=$(pwd)
mark=$(date +%s)
topic=egret/v1/default/dev/rig

ok() { echo "ok - $1"; }
not_ok() {
	echo "not ok - $1"
	failed=$((failed + 1))
}
note() { echo "# $*"; }
# check NAME COMMAND…
check() {
	local name=$1
	shift
	if "$@" >/tmp/check.out 2>&1; then ok "$name"; else
		not_ok "$name"
		tail -n 8 /tmp/check.out | sed 's/^/    /'
	fi
}
# eventually NAME SECONDS COMMAND…
eventually() {
	local name=$1 end=$((SECONDS + $2 * FACTOR))
	shift 2
	until "$@" >/tmp/check.out 2>&1; do
		if [ $SECONDS -ge $end ]; then
			not_ok "$name"
			tail -n 3 /tmp/check.out | sed 's/^/    /'
			journalctl -u egret -n 12 --no-pager -o cat | sed 's/^/    | /'
			return 1
		fi
		sleep 0.3
	done
	ok "$name"
}
log_has() { journalctl -u egret --no-pager -o cat --since "@$mark" | grep -q -- "$1"; }
main_pid() { systemctl show -p MainPID --value egret; }
property() { systemctl show -p "$1" --value egret; }
running() { [ "$(property ActiveState)/$(property SubState)" = active/running ]; }
stopped() { [ "$(property ActiveState)" = inactive ]; }

# ask PATH [HEADER]: what the local API answers
ask() {
	exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n%s\r\n' "$1" "${2:+$2$'\r\n'}" >&3 && timeout 20 cat <&3
}
answers() { ask "$1" | grep -aq "$2"; }
# account FIELD: a number of the delivery account
account() { ask /api/outbox | grep -ao "\"$1\":[0-9]*" | head -n 1 | sed 's/.*://'; }

# config CAMERA: writes a configuration. MODEL, SOURCE, and MORE lines of YAML
# change what it says.
config() {
	cat >/etc/egret/egret.yaml <<-YAML
		device: rig
		models:
		  - {name: classifier, path: ${MODEL:-/opt/rig/models/colours}, top_k: 1, threshold: 0}
		cameras:
		  - {name: $1, source: "${SOURCE:-pattern:?size=320x240&fps=4}", stall_timeout: 10s}
		outbox: {flush_interval: 1s}
		telemetry: {interval: 2s}
		log: {mqtt: {enabled: true}}
		# A trial of a model takes seconds when it is emulated, and minutes beside
		# other work.
		${INFERENCE:-inference: {delegate: cpu, threads: 1, probe_timeout: 3m\}}
		${MORE:-mqtt: {broker: "tcp://127.0.0.1:1883"\}}
	YAML
}

# listen TOPIC FILE: what is published there from now on
listen() {
	mosquitto_sub -q 1 -t "$topic/$1" >"$2" &
	listeners="${listeners:-} $!"
}
hang_up() {
	# shellcheck disable=SC2086 # a list of process ids
	kill ${listeners:-} 2>/dev/null
	listeners=
}
arrived() { grep -o '"seq":[0-9]*' /tmp/predictions | wc -l; }
before=0
more() { [ "$(arrived)" -gt $((before + 2)) ]; }
# complete BOOT [LAST]: no number of the agent's boot is missing, up to LAST or
# the highest that came
complete() {
	grep -o "\"boot\":$1,\"seq\":[0-9]*" /tmp/predictions | sed 's/.*://' | sort -n -u >/tmp/seqs
	[ -s /tmp/seqs ] && [ "$(awk -v n="${2:-$(tail -n 1 /tmp/seqs)}" '$1 <= n' /tmp/seqs | wc -l)" = "${2:-$(tail -n 1 /tmp/seqs)}" ]
}
broker() { systemctl is-active -q mosquitto || systemctl start mosquitto; }
# install FILE: as a person would. The package's own configuration runs SSD
# MobileNet on whatever is fastest, which takes an emulated processor five minutes
# to find out: there, a configuration lies ready unless OWN is set.
install() {
	if [ "$RIG" = guest ] && [ -z "${OWN:-}" ] && [ ! -e /etc/egret/egret.yaml ]; then
		mkdir -p /etc/egret
		INFERENCE="inference: {delegate: cpu, threads: 1, probe_timeout: 3m}" config first
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y --allow-downgrades -o Dpkg::Options::=--force-confold "$@"
}
# drop_in NAME: standard input becomes a drop-in of the unit
drop_in() {
	mkdir -p /etc/systemd/system/egret.service.d
	cat >"/etc/systemd/system/egret.service.d/$1.conf"
	systemctl daemon-reload
}
no_drop_in() {
	rm -f "/etc/systemd/system/egret.service.d/$1.conf"
	rmdir /etc/systemd/system/egret.service.d 2>/dev/null
	systemctl daemon-reload
}
