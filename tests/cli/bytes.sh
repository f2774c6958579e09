# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# unishm read and write, and create --from.

test_bytes() {
	"$unishm" create "$b:0x5c110001" 20 >/dev/null
	printf 'hello world' >"$tmp/in"
	u write "$b:0x5c110001" <"$tmp/in"
	check 'write' "$status $(err)" = '0 '
	u read "$b:0x5c110001" --length 11
	check 'read what was written' "$status $(out)" = '0 hello world'
	u read "$b:0x5c110001" --offset 6 --length 5
	check 'read a part' "$status $(out)" = '0 world'
	u read "$b:0x5c110001"
	check 'read all' "$status $(wc -c <"$tmp/out")" = '0 20'
	u read "$b:0x5c110001" --offset 18 --length 5
	check 'read beyond the end: gives what there is, and says so' \
		"$status $(wc -c <"$tmp/out") $(grep -c '3 bytes were left out' "$tmp/err")" \
		= '1 2 1'
	u read "$b:0x5c110001" --offset 20
	check 'read at the end: nothing' "$status $(wc -c <"$tmp/out")" = '0 0'
	fails 'read behind the end' 1 read "$b:0x5c110001" --offset 21
	fails 'write behind the end' 1 write "$b:0x5c110001" --offset 21
	fails 'a bad offset' 2 read "$b:0x5c110001" --offset 1X
	fails 'a bad length' 2 read "$b:0x5c110001" --length -4
	u write "$b:0x5c110001" --offset 15 <"$tmp/in"
	check 'write beyond the end: writes what fits, and says what does not' \
		"$status $(grep -c '6 bytes were left out' "$tmp/err")" = '1 1'
	u read "$b:0x5c110001" --offset 15
	check 'what fits is there' "$(out)" = hello
	printf 'hello world' | "$unishm" write "$b:0x5c110001" --offset 15 2>"$tmp/err"
	check 'the same from a pipe' "$(grep -c 'left out' "$tmp/err")" = 1
	u write "$b:0x5c110001" --length 2 <"$tmp/in"
	check 'write --length leaves out what was meant to be' "$status $(err)" = '0 '
	u read --hex "$b:0x5c110001" --length 16
	check 'read --hex' "$status $(head -1 "$tmp/out")" = \
		'0 00000000  68 65 6c 6c 6f 20 77 6f  72 6c 64 00 00 00 00 68  |hello world....h|'
	u write "$b:0x5c110001" </etc
	check 'an input that cannot be read' "$status $(one_line)" = '1 yes'
	u write "$b:0x5c110001" <&-
	check 'a closed input is called so' "$status $(grep -c \
		'standard input: it is closed; redirect it' "$tmp/err")" = '1 1'
	"$unishm" read "$b:0x5c110001" 2>"$tmp/err" >&-
	check 'and a closed output' "$? $(grep -c 'standard output: it is closed; redirect it' \
		"$tmp/err")" = '1 1'
	"$unishm" list 2>"$tmp/err" >&-
	check 'also by what prints lines' "$? $(grep -c 'standard output: it is closed' \
		"$tmp/err")" = '1 1'
	u read "$b:0x5c110001" --offset 19 --length 2
	check 'one byte is no bytes' "$(grep -c ': 1 byte was left out' "$tmp/err")" = 1
	sweep

	head -c 11000000 /dev/urandom >"$tmp/random"
	u create "$b:0x5c110001" --from "$tmp/random"
	check 'create --from a file, of its size' "$status $(out)" = "0 $b:0x5c110001"
	"$unishm" read "$b:0x5c110001" | cmp - "$tmp/random"
	check 'has the same bytes' $? = 0
	if command -v hexdump >/dev/null; then
		hexdump -C -n 100003 "$tmp/random" >"$tmp/dump"
		"$unishm" read --hex --length 100003 "$b:0x5c110001" | cmp - "$tmp/dump"
		check 'dumps as hexdump -C does' $? = 0
	fi
	fails 'create --from of one that exists' 1 create "$b:0x5c110001" --from "$tmp/random"
	u create "$b:0x5c110002" 100 --from "$tmp/random"
	check 'create --from of what does not fit: nothing' \
		"$status $(one_line) $("$unishm" list -o key | grep -c 0x5c110002)" = '1 yes 0'
	fails 'create --from a missing file' 1 create "$b:0x5c110002" --from "$tmp/none"
	fails 'create --from a directory' 1 create "$b:0x5c110002" 4K --from /etc
	fails 'create --from a pipe needs a size' 2 create "$b:0x5c110002" --from /dev/null
	printf abc | "$unishm" create "$b:0x5c110002" 5 --from - >/dev/null
	u read "$b:0x5c110002" --length 3
	check 'create --from standard input' "$(out)" = abc
	sweep
}

# The command in $1 is sent a signal when it has begun.
interrupt() {
	"$@" >"$tmp/out" 2>"$tmp/err" <"$tmp/pipe" &
	victim=$!
	exec 9>"$tmp/pipe"
	printf abc >&9
	sleep 0.4
	kill -TERM "$victim"
	wait "$victim"
	status=$?
	exec 9>&-
}

test_trouble() {
	mkfifo "$tmp/pipe"
	"$unishm" create "$b:0x5c110001" 20 >/dev/null
	interrupt "$unishm" write "$b:0x5c110001"
	check 'write, interrupted: says what was written' \
		"$status $(one_line) $(grep -c ' 3 bytes' "$tmp/err")" = '1 yes 1'
	u read "$b:0x5c110001" --length 3
	check 'and it was' "$(out)" = abc
	interrupt "$unishm" create "$b:0x5c110002" 20 --from -
	check 'create --from, interrupted: says so' "$status $(one_line)" = '1 yes'
	check 'nothing was created' "$("$unishm" list -o key | grep -c 0x5c110002)" = 0
	rm "$tmp/pipe"

	"$unishm" create "$b:0x5c110003" 4M >/dev/null
	{ "$unishm" read "$b:0x5c110003" 2>"$tmp/err"; echo $? >"$tmp/status"; } | head -c 1 \
		>"$tmp/out"
	status=$(cat "$tmp/status")
	check 'read to a closed pipe ends by SIGPIPE, silently' "$status $(err)" = '141 '
	{ "$unishm" read --hex "$b:0x5c110001" 2>"$tmp/err"; echo $? >"$tmp/status"; } | exec true
	status=$(cat "$tmp/status")
	check 'read --hex to a closed pipe' "$(err)" = ''
	{ sleep 0.2; "$unishm" list 2>"$tmp/err"; echo $? >"$tmp/status"; } | exec true
	status=$(cat "$tmp/status")
	check 'list to a closed pipe ends by SIGPIPE, silently' "$status $(err)" = '141 '
	if [ -c /dev/full ]; then
		for what in list 'list --json' "show $b:0x5c110001" "read $b:0x5c110001" \
			"read -x $b:0x5c110001" --help 'list --version' 'watch -c 1' doctor; do
			# shellcheck disable=SC2086
			"$unishm" $what >/dev/full 2>"$tmp/err"
			status=$?
			check "$what to a full disk" "$status $(one_line)" = '1 yes'
		done
	else
		skip 'a full disk' 'no /dev/full'
	fi
	if [ -n "$UNISHM_TEST_INSIDE" ] && [ "$b" = posix ]; then
		fails 'create beyond the file system' 1 create "$b:0x5c110004" 100M
		works 'create --noreserve beyond the file system' create "$b:0x5c110004" 100M \
			--noreserve
		u write "$b:0x5c110004" </dev/zero
		check 'write into a full system: a line, no crash' "$status $(one_line)" = '1 yes'
		run "$unishm" read "$b:0x5c110004"
		check 'read in a full system: a line, no crash' "$status $(one_line)" = '1 yes'
		fails 'read --hex in a full system: a line, no crash' 1 read --hex "$b:0x5c110004"
	fi
	"$unishm" list >&- 2>"$tmp/err"
	status=$?
	check 'no standard output at all' "$status $(one_line)" = '1 yes'
	sweep
}

for_each_backend bytes trouble
