# SPDX-License-Identifier: BSD-2-Clause
# lib.sh - for test scripts: run a program plain and under the shim, and compare.
#
# Expects ACKTRAIL_SHIM, ACKTRAIL_CLI (the built files) and ACKTRAIL_WORK (a scratch
# directory that may be emptied).  Trails go into $work/out.

SKIP=77

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

skip() {
	echo "skipped: $*"
	exit "$SKIP"
}

# A fresh scratch directory for this case, and no window left behind at the end.
begin_work() {
	work=$ACKTRAIL_WORK/$1
	rm -rf "$work"
	mkdir -p "$work/out"
	trap end_work EXIT
}

end_work() {
	local link target

	find "$work" -name trail -type l 2>/dev/null | while read -r link; do
		target=$(readlink "$link")
		[[ $target == /dev/shm/acktrail.* ]] && rm -f "$target"
	done
	return 0
}

# What librdkafka logs differs from run to run: times, ports.
without_log_lines() {
	grep -v -E '^%[0-9]\|' "$1" || true
}

# run NAME COMMAND…: standard output, errors and exit status into $work/NAME.*
run() {
	local name=$1 status=0
	shift
	"$@" >"$work/$name.out" 2>"$work/$name.err" || status=$?
	echo "$status" >"$work/$name.status"
}

run_plain() {
	run plain env -u LD_PRELOAD "$@"
}

run_shim() {
	run shim env ACKTRAIL_OUT="${out:-$work/out}" LD_PRELOAD="$ACKTRAIL_SHIM" "$@"
}

show_runs() {
	local name
	for name in plain shim; do
		echo "--- $name: status $(cat "$work/$name.status")"
		tail -n 40 "$work/$name.out" "$work/$name.err"
	done >&2
}

# The app must not be able to tell that it was witnessed.
compare_runs() {
	cmp -s "$work/plain.status" "$work/shim.status" || { show_runs; fail "another exit status"; }
	diff "$work/plain.out" "$work/shim.out" >&2 || { show_runs; fail "another output"; }
	[[ $(cat "$work/plain.status") != 99 ]] || { show_runs; fail "the scenario itself failed"; }
}

compare_errors() {
	diff <(without_log_lines "$work/plain.err") <(without_log_lines "$work/shim.err") >&2 ||
		fail "another text on standard error"
}

# same COMMAND…: run both ways and compare all three.
same() {
	run_plain "$@"
	run_shim "$@"
	compare_runs
	compare_errors
}

# ---- what a trail says ------------------------------------------------------

# dump [TRAIL…]: the events as NDJSON in $work/dump
dump() {
	"$ACKTRAIL_CLI" dump --format ndjson "${@:-$work/out}" >"$work/dump" 2>"$work/dump.err" || {
		cat "$work/dump.err" >&2
		fail "acktrail dump: status $?"
	}
}

# lines TYPE: the dump's lines of that type
lines() {
	grep "^{\"type\":\"$1\"" "$work/dump" || true
}

# field NAME: its value in each line of standard input
field() {
	sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"
}

# how_many TYPE [PATTERN]
how_many() {
	lines "$1" | grep -c "${2:-}" || true
}

expect() {
	[[ $1 == "$2" ]] || fail "$3: expected \"$2\", found \"$1\""
}

expect_more() {
	(($1 > $2)) || fail "$3: expected more than $2, found $1"
}

# Accounts as the apps print theirs: what is not resolved is open.
accounts() {
	lines account | while read -r line; do
		awk -v line="$line" 'function n(k) {
			if (!match(line, "\"" k "\":[0-9]+")) return 0
			return substr(line, RSTART + length(k) + 3, RLENGTH - length(k) - 3) + 0
		} BEGIN {
			open = n("accepted") - n("acked") - n("failed") - n("expired") - n("purged") - n("dropped")
			printf "account accepted=%d acked=%d failed=%d expired=%d purged=%d dropped=%d open=%d refused=%d\n",
				n("accepted"), n("acked"), n("failed"), n("expired"), n("purged"), n("dropped"), open, n("refused")
		}'
	done
}

# The shim's account of each instance is what the app counted itself; it adds up, and the
# rows of the timeline agree with it.
compare_accounts() {
	diff <(sed 's/^child //' "$work/shim.out" | grep '^account ') <(accounts) >&2 ||
		fail "the account is not the app's own (< app, > trail)"
	"$ACKTRAIL_CLI" summary --format ndjson "$work/out" >"$work/summary" 2>"$work/summary.err" ||
		fail "acktrail summary: status $?: $(cat "$work/summary.err")"
	if grep -E '"balanced":false|"rows_agree":false' "$work/summary" >&2; then
		fail "the account does not add up"
	fi
}

nr_trails() {
	find "${1:-$work/out}" -name trail | wc -l
}
