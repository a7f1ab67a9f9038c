# SPDX-License-Identifier: BSD-2-Clause
# Shared by the end-to-end tests: a broker of its own, on a gray disk of its own, with
# the probe attached.  Everything is undone on every way out.
# Set by ctest: ACKTRAIL_BUILD (the build tree), ACKTRAIL_TOP (the source tree).
set -euo pipefail

# Six ports in a row that nobody listens on: a broker takes up to five, a relay the last.
free_ports() {
	local p i
	for ((p = 20000 + RANDOM % 10000; ; p += 6)); do
		for i in 0 1 2 3 4 5; do
			! (: <"/dev/tcp/127.0.0.1/$((p + i))") 2>/dev/null || continue 2
		done
		echo "$p"
		return
	done
}

lab=$ACKTRAIL_TOP/examples/lab
acktrail=$ACKTRAIL_BUILD/cli/acktrail
producer=$ACKTRAIL_BUILD/examples/producer
work=$(mktemp -d "${TMPDIR:-/tmp}/acktrail-e2e.XXXXXX")
export ACKTRAIL_LAB=$work/lab
port=$(free_ports)
probe_pid=

fail() { echo "FAILED: $*" >&2; exit 1; }

# Wait until a command succeeds; 30 s is for a machine in trouble, not a measure.
eventually() { # COMMAND…
	local end=$((SECONDS + 30))
	until "$@"; do
		((SECONDS < end)) || fail "never came true: $*"
		read -rt 0.1 <> <(:) || true
	done
}

at_end() { :; }	# a test's own

clean_up() {
	local status=$?
	set +e
	at_end
	[ -z "$probe_pid" ] || { kill -INT "$probe_pid"; wait "$probe_pid"; } 2>/dev/null
	[ ! -d "$work/lab/graydisk" ] || "$lab/graydisk" delay flush=0 write=0 read=0 >/dev/null
	"$lab/broker" stop >/dev/null
	"$lab/graydisk" stop >/dev/null
	if [ $status = 0 ] || [ -z "${ACKTRAIL_KEEP:-}" ]; then rm -rf "$work"; else echo "kept: $work" >&2; fi
	exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

start_broker() { # [BROKER OPTION]…
	"$lab/graydisk" start --size 1G >"$work/disk"
	log_dir=$(sed -n 's/^mount=//p' "$work/disk")/kafka
	"$lab/broker" start --port "$port" --log-dir "$log_dir" "$@" >"$work/broker"
	broker_pid=$(sed -n 's/^pid=//p' "$work/broker")
}

start_probe() {
	"$acktrail" probe -p "$broker_pid" -o "$work/probe" >"$work/probe.log" 2>&1 &
	probe_pid=$!
	eventually grep -q witness "$work/probe.log"
}

stop_probe() {
	kill -INT "$probe_pid"
	wait "$probe_pid" || fail "the probe ended with $?: $(cat "$work/probe.log")"
	probe_pid=
}

dump_log() { "$lab/broker" dump "$log_dir" >"$work/log-dump"; }
