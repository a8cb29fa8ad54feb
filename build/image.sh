#!/bin/sh
# image.sh builds the container image egret:latest and egret:<version> with the
# engine that is there.
#
#   ENGINE=docker|podman|buildah   the first of these that works
#   PLATFORM=linux/arm64           for another architecture than the machine's
#   IMAGE=name                     another name than egret
#   IMAGE_FLAGS='…'                more words for the engine's build command
#
# VERSION, COMMIT and DATE come from the Makefile.
set -eu
cd "$(dirname "$0")/.."

die() { printf 'image: %s\n' "$*" >&2; exit 1; }

engine=${ENGINE:-}
if [ -z "$engine" ]; then
	for name in docker podman buildah; do
		command -v $name >/dev/null 2>&1 || continue
		# Its client may be there without the daemon.
		[ $name != docker ] || docker info >/dev/null 2>&1 || continue
		engine=$name
		break
	done
fi
[ -n "$engine" ] || die "neither docker (with its daemon running) nor podman nor buildah is here: install one of them"
command -v "$engine" >/dev/null 2>&1 || die "ENGINE=$engine is not installed"

# OCI's own image format has no health check.
case ${engine##*/} in
docker)
	build=build
	# Docker before 23 has it and does not use it by itself.
	export DOCKER_BUILDKIT="${DOCKER_BUILDKIT:-1}"
	;;
podman) build='build --format docker' ;;
buildah) build='build --format docker' ;;
*) die "ENGINE=$engine: docker, podman or buildah" ;;
esac

# shellcheck disable=SC2086 # lists of words
"$engine" $build ${PLATFORM:+--platform "$PLATFORM"} ${IMAGE_FLAGS:-} \
	--build-arg "VERSION=${VERSION:-devel}" --build-arg "COMMIT=${COMMIT:-}" --build-arg "DATE=${DATE:-}" \
	-t "${IMAGE:-egret}:latest" -t "${IMAGE:-egret}:${VERSION:-devel}" -f build/Dockerfile .
