# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# The command on a terminal.

test_terminal() {
	"$unishm" create "$b:0x5c110001" 4K >/dev/null
	on_terminal 100 "$unishm" list -B "$b"
	check 'colours on a terminal' "$(has "${esc}[")" = yes
	NO_COLOR=1 on_terminal 100 "$unishm" list -B "$b"
	check 'no colours with NO_COLOR' "$(has "${esc}[")" = ''
	TERM=dumb on_terminal 100 "$unishm" list -B "$b"
	check 'no colours on a dumb terminal' "$(has "${esc}[")" = ''
	on_terminal 100 "$unishm" doctor
	check 'doctor: 80 columns are enough' "$(sed "s/${esc}\[[0-9;]*m//g" "$tmp/out" |
		tr -d '\r' | awk 'length > 80' | wc -l)" = 0
	on_terminal 100 "$unishm" read "$b:0x5c110001"
	check 'no binary to a terminal' "$(has '[status 1]') $(has --hex)" = 'yes yes'
	on_terminal 100 "$unishm" read --force "$b:0x5c110001"
	check 'binary to a terminal with --force' "$(has '[status 0]')" = yes
	printf 'hello\n' | "$unishm" write "$b:0x5c110001"
	on_terminal 100 "$unishm" read "$b:0x5c110001" --length 6
	check 'text to a terminal' "$(has hello) $(has '[status 0]')" = 'yes yes'
	on_terminal 300,send=abc,enter,200,INT "$unishm" write "$b:0x5c110001"
	check 'interrupt while writing' "$(has 'interrupted; 4 bytes') $(has '[status 1]')" \
		= 'yes yes'
	"$unishm" create "$b:0x5c110002" 4M >/dev/null
	on_terminal 300 sh -c "{ head -c 1M /dev/zero; sleep 1; head -c 3M /dev/zero; } |
		'$unishm' write $b:0x5c110002 >$tmp/x"
	check 'progress of what takes long, with a rate' \
		"$(grep -c 'written .*, [0-9.]*[KMG]/s' "$tmp/out") $(has '[status 0]')" = '1 yes'
	on_terminal 300 sh -c "'$unishm' read $b:0x5c110002 | { head -c 1M; sleep 1; cat; } >$tmp/x"
	check 'progress of read, with the time left' \
		"$(grep -c 'read .* of 4M ([0-9]*%), .*/s, .* left' "$tmp/out")" = 1
	"$pty" 24x80 300 sh -c "'$unishm' read --force $b:0x5c110002 >/dev/tty" |
		{ sleep 1; cat; } >"$tmp/out"
	check 'no progress among the bytes, also by another name of the terminal' \
		"$(grep -c 'left' "$tmp/out") $(has '[status 0]')" = '0 yes'
	"$unishm" remove "$b:0x5c110002"

	if [ -n "$UNISHM_TEST_INSIDE" ]; then
		on_terminal 300,send=n,enter "$unishm" remove -B "$b" --all-mine
		check 'remove asks, and takes no' \
			"$(has '[y/N]') $(has '[status 1]') $("$unishm" list -o key |
			grep -c 0x5c110001)" = 'yes yes 1'
		on_terminal 300,send=y,enter "$unishm" remove -B "$b" --all-mine
		check 'remove asks, and takes yes' "$(has '[status 0]') $("$unishm" list -o key |
			grep -c 0x5c110001)" = 'yes 0'
	fi

	"$unishm" create "$b:0x5c110001" 4K >/dev/null
	on_terminal 400,send=q "$unishm" watch -B "$b"
	check 'watch: full screen, and back' "$(has "${esc}[?1049h") $(has "${esc}[?1049l")" \
		= 'yes yes'
	check 'watch: q quits' "$(has '[status 0]') $(has '[modes as before]')" = 'yes yes'
	check 'watch: 80 columns are enough' "$(sed "s/${esc}\[[?0-9;]*[a-zA-Z]//g" "$tmp/out" |
		tr -d '\r' | awk 'length > 80' | wc -l)" = 0
	for signal in INT TERM; do
		on_terminal 400,$signal "$unishm" watch
		check "watch: SIG$signal gives the terminal back" \
			"$(has '[status 0]') $(has "${esc}[?1049l") $(has '[modes as before]')" \
			= 'yes yes yes'
	done
	on_terminal 400,TSTP,300,stopped,modes,CONT,300,send=q "$unishm" watch
	check 'watch: stopped, the terminal is as before' "$(has '[stopped]')
$(grep -c '^\[modes as before\]' "$tmp/out") $(has '[status 0]')" = 'yes
2 yes'
	on_terminal 400,size=5x30,400,send=q "$unishm" watch -i 60
	check 'watch: follows a new size' "$(sed "s/${esc}\[[?0-9;]*[a-zA-Z]//g" "$tmp/out" |
		grep -c 'segment, ') $(has '[status 0]')" = '2 yes'
	(sleep 0.6; echo x | "$unishm" write "$b:0x5c110001") &
	on_terminal 1500,send=q "$unishm" watch -i 1 "$b:0x5c110001"
	check 'watch SEGMENT: marks what changed' "$(has '*last_op_process')" = yes
	on_terminal 300 "$unishm" watch -i 1 -c 1
	check 'watch --count ends' "$(has '[status 0]')" = yes
	wait

	(sleep 0.4; "$unishm" chmod 644 "$b:0x5c110001") &
	u watch -B "$b" --interval 1 --count 2
	check 'watch: lines without a terminal' \
		"$status $(grep -c "found $b:0x5c110001 id=" "$tmp/out")" = '0 1'
	check 'watch: what changed' "$(grep -c 'mode=rw-------->rw-r--r--' "$tmp/out")" = 1
	fails 'watch: a missing segment' 1 watch "$b:0x5c1100ff"
	fails 'watch: a bad interval' 2 watch --interval 0
	wait
	sweep
}

# The screen without escape sequences, one line for each of it.
screen() {
	sed "s/${esc}\[[?0-9;]*[a-zA-Z]//g" "$tmp/out" | tr -d '\r'
}

test_scrolling() {
	"$unishm" create "$b:0x5c110001" 4K >/dev/null
	run "$pty" 10x40 400,send=q "$unishm" watch -B "$b"
	check 'watch marks what is cut at the right' \
		"$(screen | grep -c '^  BACKEND .*>$') $(screen |
		awk 'length > 40 && !/^ *$/' | wc -l)" = '1 0'
	run "$pty" 10x40 400,send=llllllll,400,send=q "$unishm" watch -B "$b"
	check 'watch scrolls sideways' "$(screen | grep -c '^<.*ATTACH$') $(screen |
		grep -c '^<.*>$')" != '0 0'
	run "$pty" 10x40 "400,send=${esc}[C,400,send=${esc}[D,400,send=q" "$unishm" watch -B "$b"
	check 'and by arrow keys, there and back' \
		"$(screen | grep -c '^<.*>$') $(screen | grep -c '^  BACKEND .*>$')" = '2 2'
	run "$pty" 10x40 "400,send=${esc}[B${esc}OB,300,send=q" "$unishm" watch -B "$b"
	check 'an arrow key is no q' "$(has '[status 0]')" = yes
	run "$pty" 10x80 400,send=jjjjjjjjjjjjjjj,400,send=q "$unishm" watch "$b:0x5c110001"
	check 'watch SEGMENT scrolls down' "$(screen | grep -c '^ inexact')" != 0
	check 'and says how much is left' "$(screen | grep -c '^\.\.\. 11 more')" = 1
	run "$pty" 30x30 "400,send=$(printf '%040d' 0 | tr 0 l),400,send=q" \
		"$unishm" watch "$b:0x5c110001"
	check 'watch SEGMENT scrolls sideways, not further than the last column' \
		"$(screen | grep '^<' | tail -n 19 | grep -c '[a-z0-9]')" != 0
}

for_each_backend terminal scrolling
