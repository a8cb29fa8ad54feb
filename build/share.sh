#!/bin/sh
# share.sh writes dist/share: manual pages and shell completions, made from the
# commands themselves; the Debian changelog, made from CHANGELOG.md; copyright and
# the licences of what is linked into the binary.
#
#   build/share.sh BINARY
#
# VERSION, DEB_VERSION, MAINTAINER, SOURCE_DATE_EPOCH and GO come from the Makefile.
set -eu
cd "$(dirname "$0")/.."
umask 022
LC_ALL=C
export LC_ALL

out=dist/share
binary=${1:?usage: build/share.sh BINARY}
rm -rf $out
mkdir -p $out

# A build of its own has the command `man`, so that the agent does not carry it.
CGO_ENABLED=0 "${GO:-go}" build -trimpath -buildvcs=false -tags "${TAGS:-grpcnotrace} mandoc" -ldflags "-X main.version=${VERSION:-devel}" -o dist/egret-man ./cmd/egret
dist/egret-man man $out configs/egret.yaml
dist/egret-man completion bash >$out/egret.bash
dist/egret-man completion zsh >$out/_egret
dist/egret-man completion fish >$out/egret.fish
rm dist/egret-man

# CHANGELOG.md's first section is what this version brings.
{
	printf 'egret (%s) unstable; urgency=medium\n\n' "$DEB_VERSION"
	awk '/^## / { if (seen++) exit; next } seen && /^\* / { printf "%s%s", sep, $0; sep = "\n"; next } seen && NF { $1 = $1; printf " %s", $0 } END { print "" }' CHANGELOG.md |
		fold -s -w 74 | sed -E 's/ +$//' | sed -E 's/^\* /  * /; t; s/^/    /'
	printf '\n -- %s  %s\n' "$MAINTAINER" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} >$out/changelog

cp build/debian/copyright $out/copyright
CGO_ENABLED=0 "${GO:-go}" run ./build/sbom -licences $out/third-party-licenses.txt "$binary"
# No names and times in gzip's headers.
gzip -9n $out/*.[15] $out/changelog $out/third-party-licenses.txt
