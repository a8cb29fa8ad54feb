#!/bin/bash
# proofs.sh runs the proofs of delivery and of updates at length, one after the other, and
# prints what each found. `make proofs` sets the environment that Go needs.
set -euo pipefail
cd "$(dirname "$0")/.."
GO=${GO:-go}
export EGRET_SOAK=1

prove() { # prove TITLE PACKAGE TESTS [TIMES]
	echo "== $1"
	nice "$GO" test -count="${4:-1}" -timeout 60m -v -run "$3" "$2" | sed '/^=== /d; /^PASS$/d; /^    --- PASS/d'
}

prove 'kill -9 at any moment' ./test/delivery TestKilledAtAnyMoment
prove 'the disk full, and freed' ./test/delivery Disk
prove 'the file damaged' ./sync/outbox 'TestFlippedBits|TestCorruptedFile'
prove 'brokers and links that misbehave' ./sync/mqtt 'Brokers?(Restarts|With|Is)|BadBrokers|Acknowledgements|Puback|Link|Slow|Poison' 3
prove 'TLS' ./sync/mqtt 'TestTLS|TestWrongPorts' 10
prove 'the clock set by years' ./agent 'Jump|Corrector' 10
prove 'updates: the steps killed and crashed' ./sync/ota/update 'Killed|Crashes'
prove 'updates: the client killed' ./sync/ota Killed 5
prove 'updates: bad models, flipped bits, kills at a running agent' ./test/spine 'Zoo|FlippedModels|KilledInEachState|KilledOnTrial|KilledAnywhere|DamagedModel'
echo '== power cuts'
nice test/rig/powercut.sh
echo "proofs: all held, in $((SECONDS / 60)) minutes"
