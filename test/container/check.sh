#!/bin/bash
# check.sh builds the container image from build/Dockerfile and runs it as
# docs/CONTAINER.md says: without capabilities, read-only, as a number, beside a
# real Mosquitto. Everything that it made is removed at the end.
#
#   BASES=pull|make   the base images from their registry, or made by mmdebstrap
#                     from Debian's mirror; by itself the first that works
#   IMAGE_FLAGS='…'   more words for the build, such as --isolation chroot
#   KEEP=1            keep base images and the build's layers, for the next run
#
# It needs root, podman, Mosquitto with its clients, and a Go installation for
# BASES=make. Docker is not tried: its daemon does the same with the same words.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf 'container: %s\n' "$*"; }
die() { printf 'container: FAILED: %s\n' "$*" >&2; exit 1; }
skipped=0
skip() { skipped=$((skipped + 1)); say "NOT RUN: $*"; }

[ "$(id -u)" = 0 ] || die "needs root"
for need in podman mosquitto_sub curl openssl; do
	command -v $need >/dev/null || die "$need is not installed"
done
PATH=$PATH:/usr/sbin
command -v mosquitto >/dev/null || die "mosquitto is not installed"

# crun refuses a hybrid of both versions of cgroups. In a mount namespace of our
# own the empty half can be taken away, and nobody else sees it.
if [ -d /sys/fs/cgroup/unified ] && [ "$(id -u)" = 0 ] && [ -z "${EGRET_CHECK_NS:-}" ]; then
	EGRET_CHECK_NS=1 exec unshare -m sh -c 'umount /sys/fs/cgroup/unified && exec "$0"' "$PWD/test/container/check.sh"
fi

work=$(mktemp -d)
name=egret-check-$$
image=localhost/$name
version=check-$$
broker=
bases=
# shellcheck disable=SC2317 # the trap calls it
clean() {
	code=$?
	[ $code = 0 ] || podman logs "$name" 2>&1 | tail -n 20 >&2 || true
	podman rm -f -t 0 "$name" >/dev/null 2>&1 || true
	podman volume rm -f "$name" >/dev/null 2>&1 || true
	[ -z "$broker" ] || { kill "$broker" && wait "$broker"; } 2>/dev/null || true
	podman rmi -f "$image:latest" "$image:$version" >/dev/null 2>&1 || true
	# shellcheck disable=SC2086 # a list of words
	[ -n "${KEEP:-}" ] || [ -z "$bases" ] || podman rmi -f $bases >/dev/null 2>&1 || true
	rm -rf "$work"
	exit $code
}
trap clean EXIT
trap 'exit 130' INT TERM

# ------------------------------------------------------------- base images
# made FILE IMAGE [CHANGE…] imports a root file system.
made() {
	podman import --quiet "${@:3}" "$1" "localhost/$2" >/dev/null
	bases="$bases localhost/$2"
}

# debian OUT ARCH PACKAGES writes a Debian 12 as debian:12-slim has it, the
# packages besides.
debian() {
	mmdebstrap --quiet --variant="${4:-minbase}" --architectures="$2" ${3:+--include="$3"} \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' bookworm "$1"
}

make_bases() {
	for need in mmdebstrap go; do command -v $need >/dev/null || die "$need is not installed, and BASES=make needs it"; done
	if ! podman image exists localhost/debian:12-slim; then
		say "making debian:12-slim by mmdebstrap"
		debian "$work/slim.tar" "$(dpkg --print-architecture)" libstdc++6
		made "$work/slim.tar" debian:12-slim
		rm "$work/slim.tar"
	fi
	if ! podman image exists localhost/golang:1.26-bookworm; then
		say "making golang:1.26-bookworm by mmdebstrap and the Go of this machine"
		debian "$work/golang" "$(dpkg --print-architecture)" ca-certificates,gcc,g++,libc6-dev,make,git
		mkdir -p "$work/golang/usr/local"
		cp -a "$(go env GOROOT)" "$work/golang/usr/local/go"
		tar -C "$work/golang" -cf "$work/golang.tar" .
		made "$work/golang.tar" golang:1.26-bookworm --change ENV=GOPATH=/go \
			--change 'ENV=PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
		rm -rf "$work/golang" "$work/golang.tar"
	fi
}

# By the short names that the Dockerfile has: podman's own list of them, or the
# machine's registries.conf, says where they are.
pull_bases() {
	for base in golang:1.26-bookworm debian:12-slim; do
		timeout 300 podman pull --quiet "$base" >/dev/null 2>"$work/pull" || return 1
	done
}

case ${BASES:-} in
pull) pull_bases || die "pull the base images: $(tail -n 1 "$work/pull")" ;;
make) make_bases ;;
'') if pull_bases; then BASES=pull; else
	skip "with the base images of the registry ($(tail -n 1 "$work/pull")); making our own"
	BASES="make"
	make_bases
fi ;;
*) die "BASES=$BASES: pull or make" ;;
esac

# ------------------------------------------------------------------- image
say "building $image"
# The modules that this machine has need not be fetched again.
flags="--pull=never ${IMAGE_FLAGS:-}"
[ -n "${KEEP:-}" ] || flags="$flags --layers=false"
! command -v go >/dev/null || flags="$flags -v $(go env GOMODCACHE):/go/pkg/mod"
build() { ENGINE=podman IMAGE=$image VERSION=$1 COMMIT=0123456789abcdef DATE=2026-01-02T03:04:05Z IMAGE_FLAGS="$flags" PLATFORM=${2:-} build/image.sh >"$work/build" 2>&1 || { tail -n 30 "$work/build" >&2; die "build the image"; }; }
build "$version"

got=$(podman inspect --format '{{.User}} {{.Config.StopSignal}} {{json .Config.Entrypoint}} {{json .Config.Cmd}} {{json .HealthCheck.Test}} {{json .Config.Volumes}}' "$image" 2>/dev/null) ||
	got=$(podman inspect --format '{{.User}} {{.Config.StopSignal}} {{json .Config.Entrypoint}} {{json .Config.Cmd}} {{json .Healthcheck.Test}} {{json .Config.Volumes}}' "$image")
want='65532:65532 SIGTERM ["/usr/bin/egret"] ["run"] ["CMD","/usr/bin/egret","health"] {"/var/lib/egret":{}}'
[ "$got" = "$want" ] || die "the image says $got, want $want"
for label in title=egret version="$version" revision=0123456789abcdef licenses=Apache-2.0 created=2026-01-02T03:04:05Z; do
	got=$(podman inspect --format "{{index .Labels \"org.opencontainers.image.${label%%=*}\"}}" "$image")
	[ "$got" = "${label#*=}" ] || die "the label ${label%%=*} is '$got'"
done
size() { podman inspect --format '{{.Size}}' "$1"; }
say "image: user, entry point, health check, volume, labels; $((($(size "$image") - $(size debian:12-slim)) / 1000000)) MB besides the base"

# -------------------------------------------------------------- containers
hard=$(ulimit -Hn)
[ "$hard" != unlimited ] && [ "$hard" -lt 4096 ] || hard=4096
# What docs/CONTAINER.md asks for. The bounds on files and processes are ours:
# podman's own are higher than some machines allow to set.
confined=(--network host --read-only --cap-drop ALL --security-opt no-new-privileges
	--tmpfs /tmp:size=64m --memory 512m --pids-limit 128 --ulimit "nofile=$hard:$hard" --ulimit nproc=1024:1024)
egret() { timeout 60 podman run --rm --no-healthcheck "${confined[@]}" "$@"; }

said=$(egret "$image" version)
grep -q "^egret $version" <<<"$said" || die "egret version says: $said"
grep -q '^TensorFlow Lite 2\.9' <<<"$said" || die "no native library: $said"
for model in mobilenet_v1_1.0_224_quant ssd_mobilenet_v1_quant; do
	egret "$image" model info /usr/share/egret/models/$model >"$work/info" || die "the image has no model $model"
done
egret --entrypoint /bin/sh "$image" -c 'cat /usr/share/doc/egret/copyright && zcat /usr/share/doc/egret/third-party-licenses.txt.gz' >"$work/licences" || die "the image has no licences"
grep -q libjpeg-turbo "$work/licences" || die "the image's licences do not name libjpeg-turbo"
# Users and network by name are Go's own; time zones are files.
egret -e TZ=Asia/Kathmandu --entrypoint /usr/bin/date "$image" +%z | grep -qx +0545 || die "the image knows no time zones"
status=$(egret --entrypoint /bin/sh "$image" -c 'cat /proc/self/status; id -u; touch /usr/x 2>&1 || true')
grep -q '^CapEff:[[:space:]]*0*$' <<<"$status" && grep -q '^NoNewPrivs:[[:space:]]*1$' <<<"$status" && grep -qx 65532 <<<"$status" && grep -q 'Read-only file system' <<<"$status" ||
	die "the container is less confined than it should be: $status"
say "confined: uid 65532, no capabilities, no new privileges, read-only"

# soon WHAT COMMAND…: does the command hold within a minute?
soon() {
	local what=$1 end=$((SECONDS + 60))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || die "$what: not within a minute"
		sleep 0.2
	done
}

# A broker with compose.yaml's own configuration, but for its port and folder.
port=$((20000 + RANDOM % 20000)) web=$((40000 + RANDOM % 20000))
mkdir "$work/broker"
! id mosquitto >/dev/null 2>&1 || chown mosquitto "$work/broker"
chmod 755 "$work"
sed "s,^listener .*,listener $port 127.0.0.1,; s,/mosquitto/data/,$work/broker/," configs/mosquitto.conf >"$work/mosquitto.conf"
broker() {
	mosquitto -c "$work/mosquitto.conf" >>"$work/mosquitto.log" 2>&1 &
	broker=$!
	soon "the broker listens" mosquitto_pub -p "$port" -t up -n
}
broker

# The shipped configuration, but for the broker's address and the port.
sed "s,tcp://mosquitto:1883,tcp://127.0.0.1:$port,; s,0\.0\.0\.0:8080,127.0.0.1:$web,; s,sample_every: 10s,sample_every: 1s," configs/container.yaml >"$work/egret.yaml"
token=$(openssl rand -hex 32)
printf '%s\n' "$token" >"$work/token"
chmod 644 "$work/egret.yaml" "$work/token"
sed '2,$s/^cameras:/camera:/' "$work/egret.yaml" >"$work/wrong.yaml"
chmod 644 "$work/wrong.yaml"
# Without systemd podman has no timer for the health check: we ask ourselves.
start() {
	podman run -d --name "$name" --hostname check "${confined[@]}" -v "$name:/var/lib/egret" --stop-timeout 25 \
		-v "$work/egret.yaml:/etc/egret/egret.yaml:ro" -v "$work/token:/run/secrets/egret-api-token:ro" "$image" >/dev/null 2> >(grep -v 'systemd connection' >&2)
}

start
soon "healthy" podman healthcheck run "$name"
say "healthy"
boot() { timeout 60 mosquitto_sub -p "$port" -t 'egret/v1/default/dev/check/predictions' -C 1 | grep -o '"boot":[0-9]*' | head -n 1; }
first=$(boot)
[ -n "$first" ] || die "no prediction came to the broker"
say "a prediction reached the broker"
answer=$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$web/metrics")
[ "$answer" = 401 ] || die "the API answers $answer without a token"
curl -sf -H "Authorization: Bearer $token" "http://127.0.0.1:$web/metrics" >"$work/metrics" || die "the API refuses its token"
say "the API asks for its token"

# Without its broker, results wait in the volume; a new container sends them.
kill "$broker"
wait "$broker" || true
waiting() { curl -sf -H "Authorization: Bearer $token" "http://127.0.0.1:$web/metrics" | grep -c "^egret_outbox_stored [1-9]" >/dev/null; } # -c reads all: -q would break the pipe
soon "results wait on disk" waiting
podman kill --signal TERM "$name" >/dev/null
code=$(timeout 30 podman wait "$name")
[ "$code" = 0 ] || die "SIGTERM ended it with $code"
podman rm "$name" >/dev/null
say "SIGTERM ended it with 0"
broker
# The broker keeps what comes for this client from here on.
listen=(mosquitto_sub -p "$port" -i check -c -q 1 -t egret/v1/default/dev/check/predictions)
"${listen[@]}" -E
start
timeout 90 "${listen[@]}" >"$work/came" &
listener=$!
old() { grep -q "$first," "$work/came"; }
soon "the first container's results come from the volume" old
kill $listener 2>/dev/null || true
say "the state outlived its container"
end=$SECONDS
podman stop "$name" >/dev/null
[ "$(podman inspect --format '{{.State.ExitCode}}' "$name")" = 0 ] || die "podman stop did not end it in order"
say "podman stop took $((SECONDS - end)) s"

code=0
said=$(egret -v "$work/wrong.yaml:/etc/egret/egret.yaml:ro" "$image" 2>&1) || code=$?
[ $code = 2 ] && [ "$(wc -l <<<"$said")" = 1 ] || die "a wrong configuration gave $code: $said"
say "a wrong configuration: exit code 2, and one line: $said"
code=0
said=$(egret -v "$work/egret.yaml:/etc/egret/egret.yaml:ro" "$image" 2>&1) || code=$?
[ $code = 1 ] && grep -q egret-api-token <<<"$said" || die "a missing token gave $code: $said"
say "without its token file it does not start, and says so"
code=0
egret "$image" health --url "http://127.0.0.1:1/healthz" >/dev/null 2>&1 || code=$?
[ $code = 1 ] || die "a health check with nobody there gave $code"

if [ -c /dev/video0 ]; then
	egret --device /dev/video0 --group-add "$(stat -c %g /dev/video0)" --entrypoint /bin/sh "$image" -c ': </dev/video0' || die "the camera cannot be opened in the container"
	say "the camera opens in the container"
else
	skip "a camera in the container: this machine has no /dev/video0"
fi
skip "with Docker: this is podman"
say "done; $skipped things were not run"
