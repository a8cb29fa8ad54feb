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
	# Bash goes on after a file that is missing or cannot be read.
	if bash -n "./$topic_file.sh"; then . "./$topic_file.sh"; else not_ok "$topic_file.sh can be run"; fi
done
note "$failed checks failed, after $SECONDS s"
[ "$failed" -lt 100 ] || failed=100 # more does not fit, and 256 would be 0
exit "$failed"
