# SPDX-License-Identifier: BSD-2-Clause
# Shared by the kernel tests: a program that syncs like a broker (sync_app), on a gray
# disk of its own, with the probe attached to it.  Everything is undone on every way out.
# Set by ctest: ACKTRAIL_BUILD (the build tree), ACKTRAIL_TOP (the source tree).
set -euo pipefail

SKIP=77
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ACKTRAIL_TOP=${ACKTRAIL_TOP:-$(cd "$here/../.." && pwd)}
export ACKTRAIL_BUILD=${ACKTRAIL_BUILD:-$ACKTRAIL_TOP/build}
graydisk=$ACKTRAIL_TOP/examples/lab/graydisk
acktrail=$ACKTRAIL_BUILD/cli/acktrail
sync_app=$ACKTRAIL_BUILD/tests/kernel/sync_app

skip() { echo "skipped: $*"; exit "$SKIP"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || skip "attaching programs to the kernel needs root"
[ -e /sys/kernel/btf/vmlinux ] || skip "this kernel has no type information (BTF)"
[ -x "$acktrail" ] || skip "acktrail is not built in $ACKTRAIL_BUILD"
"$acktrail" probe --dry-run >/dev/null || skip "this build has no probe"
python3 -c '' 2>/dev/null || skip "python3 is not installed"

# What a probe cannot do without, asked for without it: from here on a probe that says it
# cannot run is a failure.
bpf_refused() {
	python3 - <<-'PY'
		import ctypes, mmap, os, platform, struct
		libc = ctypes.CDLL(None, use_errno=True)
		attr = struct.pack("4I", 27, 0, 0, mmap.PAGESIZE) + bytes(112)	# BPF_MAP_TYPE_RINGBUF
		number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
		if libc.syscall(number, 0, attr, len(attr)) < 0:	# BPF_MAP_CREATE
		    print(os.strerror(ctypes.get_errno()))
	PY
}
refused=$(bpf_refused)
[ -z "$refused" ] || skip "no BPF ring buffer can be made here: $refused"
[ -d /sys/kernel/tracing/events ] || [ -d /sys/kernel/debug/tracing/events ] ||
	unshare -m mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null || skip "tracefs cannot be mounted here"

work=$(mktemp -d "${TMPDIR:-/tmp}/acktrail-kernel.XXXXXX")
probe_pid='' app_pid='' disk=''

undo() { :; }			# what else a test has to put back

clean_up() {
	local status=$?
	set +e
	trap '' INT TERM
	undo
	[ -z "$probe_pid" ] || { kill -INT "$probe_pid"; wait "$probe_pid"; } 2>/dev/null
	[ -z "$disk" ] || "$graydisk" delay flush=0 write=0 read=0 --dir "$disk" >/dev/null
	end_app
	[ -z "$disk" ] || "$graydisk" stop --dir "$disk" >/dev/null || status=1
	if [ $status = 0 ] || [ $status = $SKIP ] || [ -z "${ACKTRAIL_KEEP:-}" ]; then
		rm -rf "$work"
	else
		echo "kept: $work" >&2
	fi
	exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

eventually() { # COMMAND…; 30 s is for a machine in trouble, not a measure; in an emulated one it takes longer
	local end=$((SECONDS + ${ACKTRAIL_PATIENCE:-30}))
	until "$@"; do
		((SECONDS < end)) || fail "never came true: $*"
		sleep 0.05
	done
}

start_disk() { # [GRAYDISK OPTION]…
	disk=$work/disk
	"$graydisk" start --dir "$disk" --size 512M "$@" >"$work/disk.said" 2>"$work/disk.err" || {
		local status=$?
		disk=
		[ $status != 4 ] || skip "$(cat "$work/disk.err")"
		fail "$(cat "$work/disk.err")"
	}
	device=$(sed -n 's/^device=//p' "$work/disk.said")
	log_dir=$(sed -n 's/^mount=//p' "$work/disk.said")/logs
	mkdir "$log_dir"
}

stop_disk() {
	"$graydisk" delay flush=0 write=0 read=0 --dir "$disk" >/dev/null
	"$graydisk" stop --dir "$disk" >/dev/null
	disk=
}

delay() { "$graydisk" delay "$@" --dir "$disk" >/dev/null; }

start_app() { # [DIR]
	rm -f "$work/app.in" "$work/app.out"
	mkfifo "$work/app.in" "$work/app.out"
	"$sync_app" "${1:-$log_dir}" "$work/report" <"$work/app.in" >"$work/app.out" &
	app_pid=$!
	exec 3>"$work/app.in" 4<"$work/app.out"
}

app() { # COMMAND…: and wait until it is done
	local said
	echo "$*" >&3
	read -r said <&4 || fail "sync_app ended"
}

end_app() {
	[ -n "$app_pid" ] || return 0
	exec 3>&- 4<&-
	wait "$app_pid"
	app_pid=
}

start_probe() { # [OPTION]…
	: >"$work/probe.log"
	"$acktrail" probe -p "$app_pid" --log-dir "$log_dir" -o "$work/trail" "$@" 2>"$work/probe.log" 3>&- 4<&- &
	probe_pid=$!
	eventually probe_began
}

probe_began() {
	kill -0 "$probe_pid" 2>/dev/null || {
		fail "the probe ended: $(cat "$work/probe.log")"
	}
	grep -q witnessing "$work/probe.log"
}

stop_probe() {
	local status=0
	kill -INT "$probe_pid"
	wait "$probe_pid" || status=$?
	probe_pid=
	[ $status = 0 ] || fail "the probe ended with $status: $(cat "$work/probe.log")"
}

dump() { "$acktrail" dump --format ndjson "$work/trail" >"$work/dump" || [ $? = 3 ]; }
