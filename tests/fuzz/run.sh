#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs fuzzers, one after another: run.sh BUILD-DIR SECONDS NAME...
# SECONDS 0: each only over its corpus in tests/fuzz/corpus. Otherwise what it finds of interest goes to
# BUILD-DIR/corpus/NAME, and what breaks it to BUILD-DIR/NAME-{crash,timeout,oom,leak}-DIGEST; a table
# of executions, executions per second and edges covered ends it. Exit 1 when anything broke.
set -u

build=$1
seconds=$2
shift 2
here=$(dirname "$0")
# A parser that wants 64 MiB at once, or ten seconds, for 16 KiB has lost its bounds.
limits="-timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=64 -max_len=16384"
# A bundle's buffers are 8 MiB: kept for less long than usual, their shadow cleared without mmap(2).
export ASAN_OPTIONS="quarantine_size_mb=16:clear_shadow_mmap_threshold=16777216:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
export LC_ALL=C
broken=
table=

for name; do
	seeds=$here/corpus/$name
	log=$build/$name.log
	set -- "-artifact_prefix=$build/$name-" -print_final_stats=1
	if [ -z "$(ls "$seeds")" ]; then
		echo "$name: no corpus in $seeds" >&2
		broken="$broken $name"
		continue
	fi
	if [ "$seconds" -eq 0 ]; then
		set -- "$@" -runs=0 "$seeds"
	else
		mkdir -p "$build/corpus/$name"
		set -- "$@" "-max_total_time=$seconds" "$build/corpus/$name" "$seeds"
		if [ -e "$here/$name.dict" ]; then
			set -- "-dict=$here/$name.dict" "$@"
		fi
	fi
	# shellcheck disable=SC2086 # words
	if "$build/fuzz_$name" $limits "$@" >"$log" 2>&1; then
		state=good
	else
		state=BROKEN
		broken="$broken $name"
		grep -v '^#' "$log" | tail -n 60
	fi
	row=$(awk -v name="$name" -v state="$state" '
		/^#[0-9]/ { for (i = 2; i < NF; i++) if ($i == "cov:") edges = $(i + 1) }
		/stat::number_of_executed_units/ { runs = $2 }
		/stat::average_exec_per_sec/ { rate = $2 }
		/stat::peak_rss_mb/ { rss = $2 }
		END { printf "%-10s %12d %10d %8d %8d  %s", name, runs, rate, edges, rss, state }' "$log")
	echo "$row"
	table="$table$row
"
done
if [ "$seconds" -ne 0 ]; then
	printf '\n%-10s %12s %10s %8s %8s\n%s' fuzzer runs runs/s edges 'MiB rss' "$table"
fi
if [ -n "$broken" ]; then
	echo "modulus: fuzzing found something:$broken; inputs and logs are in $build" >&2
	exit 1
fi
