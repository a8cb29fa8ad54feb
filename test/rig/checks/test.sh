#!/bin/bash
# test.sh runs as root in the guest or the container, with the payload that
# e2e.sh made as its folder. The exit code is the number of checks that failed.
# shellcheck disable=SC1090,SC2154 # what is sourced is chosen at run time
set -u
. ./rig.env
. ./lib.sh
mkdir -p /opt/rig
cp -a models /opt/rig/
for topic_file in $CHECKS; do
	note "$topic_file (${SECONDS} s)"
	. "./$topic_file.sh"
done
note "$failed checks failed, after $SECONDS s"
exit "$failed"
