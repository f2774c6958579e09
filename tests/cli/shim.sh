# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# unishm run: what it passes on, what it refuses, and the segments of the programs that it runs.
# $UNISHM_SYSV is the library, and $UNISHM_TEST_STATIC a static program, if there can be one.

names() {
	find /dev/shm -name 'ush*' | wc -l
}

test_passes_on() {
	u run sh -c 'exit 7'
	check 'the status is the program'"'"'s' "$status" = 7
	u run -- sh -c 'exit 7'
	check 'two dashes end the options' "$status" = 7
	u run sh -c 'echo "$1 $2"' x --help -B
	check 'options after the program are its own' "$(out)" = '--help -B'
	u run sh -c 'echo "$LD_PRELOAD"'
	check 'the library is preloaded' "$(out)" = "$UNISHM_SYSV"
	LD_PRELOAD=libm.so.6 u run sh -c 'echo "$LD_PRELOAD"'
	check 'others are preloaded after it' "$(out)" = "$UNISHM_SYSV:libm.so.6"
	u run "$unishm" run sh -c 'echo "$LD_PRELOAD"'
	check 'it is preloaded once' "$(out)" = "$UNISHM_SYSV"
	u run sh -c 'kill -PIPE $$; echo lived'
	check 'SIGPIPE is as it was' "$status $(out)" = '141 '
	printf '#!/bin/sh\necho "$1"\n' >"$tmp/script"
	chmod 755 "$tmp/script"
	u run "$tmp/script" word
	check 'a script' "$(out)" = word
	PATH=$tmp:$PATH u run script word
	check 'a script in the path' "$(out)" = word
	echo 'echo "$1"' >"$tmp/script"
	u run "$tmp/script" word
	check 'a script without a first line' "$(out)" = word
}

# name, status, words in the message, arguments
refuses() {
	name=$1 wanted=$2 words=$3
	shift 3
	u run "$@"
	check "$name" "$status $(one_line) $(grep -c "$words" "$tmp/err")" = "$wanted yes 1"
}

test_refuses() {
	refuses 'no program' 2 'needs a program'
	refuses 'another backend' 2 'cannot be sysv' --backend sysv true
	refuses 'a program that is not there' 127 'No such file' "$tmp/none"
	refuses 'a name that is not there' 127 'No such file' no-such-program
	: >"$tmp/text"
	refuses 'no right to run it' 126 'ermission' "$tmp/text"
	printf '\177ELF\1\1\1%057d' 0 >"$tmp/other"
	chmod 755 "$tmp/other"
	refuses 'a program for another processor' 126 'another processor' "$tmp/other"
	printf '#!/no/such/interpreter\n' >"$tmp/script"
	chmod 755 "$tmp/script"
	refuses 'an interpreter that is not there' 126 interpreter "$tmp/script"
	if [ -n "$UNISHM_TEST_STATIC" ]; then
		refuses 'a static program' 126 'linked statically' "$UNISHM_TEST_STATIC"
		printf '#! %s\n' "$UNISHM_TEST_STATIC" >"$tmp/script"
		refuses 'a script of a static program' 126 'linked statically' "$tmp/script"
	else
		skip 'a static program' 'the compiler makes none'
	fi
	UNISHM_SYSV=$tmp/none refuses 'no library' 125 'install libunishm-sysv' true
	if others_can_run && cp "$(command -v id)" "$tmp/setid" && chmod 4755 "$tmp/setid" &&
			[ "$(as_nobody "$tmp/setid" -u)" = 0 ]; then
		run as_nobody env UNISHM_SYSV="$UNISHM_SYSV" "$unishm" run "$tmp/setid"
		check 'a set-id program' "$status $(grep -c set-id "$tmp/err")" = '126 1'
	else
		skip 'a set-id program' 'needs root, and a place where such programs are honoured'
	fi
}

test_segments() {
	if ! command -v ipcmk ipcrm >"$tmp/out" || [ -z "$UNISHM_TEST_INSIDE" ]; then
		skip 'segments' 'needs ipcmk, and a place of its own'
		return
	fi
	id=$("$unishm" run ipcmk -M 1000 | grep -o '[0-9]*$')
	works 'show by its id' show "posix:id:$id"
	u list --backend posix --noheadings --output id
	check 'list has it once' "$(out | tr -d ' ')" = "$id"
	key=$("$unishm" list --backend posix --noheadings --output segment)
	works 'remove by its key' remove "$key"
	check 'both names are gone' "$(names)" = 0
	id=$("$unishm" run ipcmk -M 1000 | grep -o '[0-9]*$')
	run "$unishm" run ipcrm -m "$id"
	check 'ipcrm' "$status $(names)" = '0 0'
	run "$unishm" run ipcrm -m "$id"
	check 'ipcrm of nothing' "$status $(grep -c "$id" "$tmp/err")" = '1 1'
	"$unishm" create posix:0x5c110007 100 >"$tmp/out"
	run "$unishm" run ipcrm -M 0x5c110007
	check 'a segment of the library is found by its key' "$status $(names)" = '0 0'
}

test_interrupted() {
	leaves_nothing run posix run true
}

test_passes_on
test_refuses
test_interrupted
test_segments
