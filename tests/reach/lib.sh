# SPDX-License-Identifier: BSD-2-Clause
# For the reach tests: a client under `acktrail record`, as a user would run it, held
# against what the client itself says and what the broker's log holds.
#
# Expects ACKTRAIL_BUILD (the build tree) and ACKTRAIL_WORK (where `broker start` was).

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
clients=$top/examples/clients
acktrail=$ACKTRAIL_BUILD/cli/acktrail
shim=$ACKTRAIL_BUILD/shim/libacktrail.so
producer=$ACKTRAIL_BUILD/examples/producer
COUNT=300

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

skip() {
	echo "skipped: $*"
	exit 77
}

needs() {
	local name
	for name; do command -v "$name" >/dev/null || skip "needs $name"; done
}

# begin CASE: a scratch directory and a topic of its own.
begin() {
	[[ -f $ACKTRAIL_WORK/broker.env ]] || fail "no broker: run tests/reach/broker start"
	# shellcheck source=/dev/null
	source "$ACKTRAIL_WORK/broker.env"
	work=$ACKTRAIL_WORK/$1
	topic=$1-$(date +%s%N | tail -c 10)
	trail=$work/trail
	rm -rf "$work"
	mkdir -p "$work"
	cd "$work"
	trap end EXIT
	pids=() mounts=() groups=()
}

# Windows of trails that nobody will read any more.
end() {
	local status=$? pid link target mount group
	set +e
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
	for group in "${groups[@]}"; do rmdir "$group"; done
	for mount in "${mounts[@]}"; do umount "$mount"; done
	find "$work" -name trail -type l 2>/dev/null | while read -r link; do
		target=$(readlink "$link")
		[[ $target == /dev/shm/acktrail.* ]] && rm -f "$target"
	done
	exit "$status"
}

# Made by asking for it; there once each partition has a leader.
make_topic() {
	local end=$((SECONDS + 20))
	needs kcat
	until [[ $(kcat -L -b "$plain_at" -t "$topic" 2>/dev/null | grep -c 'partition.*leader [0-9]') == 3 ]]; do
		((SECONDS < end)) || fail "the topic $topic does not come into being"
		read -rt 0.05 <> <(:) || true
	done
}

# record CMD…: its output to said, what is said beside it to err
record() {
	local status=0
	"$acktrail" record -o "$trail" -- "$@" >"$work/said" 2>"$work/err" || status=$?
	((status == 0)) || {
		tail -n 20 "$work/said" "$work/err" >&2
		fail "the client ended with $status"
	}
}

# judge HOW [SAID]: the trail, by check.py; - where the client does not tell
judge() {
	local status=0
	"$acktrail" timeline --format ndjson "$trail" >"$work/timeline" || fail "acktrail timeline: status $?"
	"$acktrail" dump --format ndjson "$trail" >"$work/dump" || fail "acktrail dump: status $?"
	"$here/check.py" "$1" "$work/timeline" "$work/dump" "${2:-$work/said}" "$log_dir" "$topic" "$COUNT" ||
		status=$?
	((status == 0)) || {
		tail -n 5 "$work/err" >&2
		fail "the timeline is not what happened"
	}
}

# The C producer's own report: SEQ PARTITION OFFSET ERROR STATUS.
c_producer() { # BOOTSTRAP [OPTION]…
	local at=$1
	shift
	record "${program:-$producer}" -b "$at" -t "$topic" -p 3 -r 0 -c "$COUNT" --report "$work/report" \
		-X linger.ms=5 "$@"
	c_said
}

c_said() {
	awk '{ print ($4 == "NO_ERROR" ? $2 " " $3 : "failed") }' "$work/report" >"$work/said"
}
