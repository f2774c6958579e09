# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Help, versions, and completion.

test_help() {
	for command in '' list show create remove chmod chown lock unlock read write watch \
		doctor run; do
		# shellcheck disable=SC2086
		u $command --help
		check "$command --help" "$status $(grep -c '^Usage: unishm' "$tmp/out")" = '0 1'
		# shellcheck disable=SC2086
		u $command --version
		check "$command --version" "$status $(grep -c '^unishm [0-9]' "$tmp/out")" = '0 1'
	done
	fails 'an unknown command' 2 frobnicate
	u
	check 'no command' "$status $(out)" = '2 '
	UNISHM_BACKEND=nosuch fails 'an unknown $UNISHM_BACKEND' 2 show 1
	fails 'an unknown --backend' 2 show -B nosuch 1
}

test_language() {
	works 'help' help
	check 'help lists commands in sentences' "$(grep -Ec '^  [a-z]+ +[A-Z].*\.$' "$tmp/out")" \
		= 14
	for command in list ls remove rm watch; do
		u help "$command"
		check "help $command" "$status $(sed -n 2p "$tmp/out" | grep -c '^[A-Z].*\.$')" \
			= '0 1'
		check "help $command: 80 columns" "$(awk 'length > 80' "$tmp/out" | wc -l)" = 0
		awk '/^  +-/ { print substr($0, 27, 1) ~ /[A-Z]/ || length($0) < 27 }' "$tmp/out" |
			sort -u >"$tmp/aligned"
		check "help $command: descriptions are aligned" "$(cat "$tmp/aligned")" = 1
	done
	fails 'help of an unknown command' 2 help frobnicate
	fails 'help of two commands' 2 help list show
	u lsit
	check 'did you mean: a command' "$status $(grep -c 'did you mean "list"' "$tmp/err")" \
		= '2 1'
	u remvoe
	check 'did you mean: remove' "$status $(grep -c 'did you mean "remove"' "$tmp/err")" = '2 1'
	u xyzzy
	check 'did you mean: nothing alike' "$status $(grep -c 'did you mean' "$tmp/err")" = '2 0'
	u list --outptu key
	check 'did you mean: an option' \
		"$status $(grep -c -e 'did you mean --output' "$tmp/err")" = '2 1'
	u list --bytes=1
	check 'an option that takes no value' "$status $(grep -c 'takes no value' "$tmp/err")" \
		= '2 1'
	u list --no
	check 'a beginning is enough, if it is clear' "$status" = 0
	fails 'a beginning of two options' 2 list --ba --b
	fails 'an unknown letter' 2 list -q
	fails 'a missing value' 2 list -o
	fails 'a missing value after an operand' 2 list 1 -o
	check 'escape sequences are in one file' \
		"$(cd "$source/tools" && grep -l '\\033\|\\x1b\|\\e\[' ./*.c ./*.h)" \
		= ./style.c
	for command in list show create remove lock read write watch doctor; do
		"$unishm" help $command
	done | grep -oE '^  +(-., )?--[a-z-]+' | grep -oE -e '--[a-z-]+' | sort -u >"$tmp/options"
	while read -r option; do
		grep -q -e "Fl -${option#--}" "$source/docs/unishm.1" || echo "$option"
	done <"$tmp/options" >"$tmp/out"
	check 'the manual has every option' "$(out)" = ''
}

# What the words complete to: the last one is typed so far.
completes() { # name, expected, words
	name=$1 wanted=$2
	shift 2
	u __complete "$@"
	check "completion: $name" "$(cut -f 1 "$tmp/out" | tr '\n' ' ')" = "$wanted"
}

test_completion() {
	completes commands 'list lock ' l
	completes options '--bytes --backend ' list --b
	completes 'options of this command only' '--hold ' lock --ho
	completes 'global options' '--backend ' --ba
	completes 'a column' 'mode ' list --output m
	completes 'several columns' 'key,mode ' list --output key,mo
	completes 'no column twice' 'key,mode,size ' list -o key,mode,si
	completes 'no column twice, not even the only one' '' list -o key,mode,mo
	completes 'the last of many' 'key,mode,locked ' list -o key,mode,lo
	completes 'added columns' '+rss ' list -o +rs
	completes 'a descending order' '-size ' list --sort -si
	completes 'after a sign' 'size ' list --sort=si
	completes backends 'posix ' show -B po
	completes 'time formats' 'full ' list --time-format f
	completes 'files' ':files ' create --from x
	mkdir -p "$tmp/some/deep"
	: >"$tmp/some/data"
	completes 'a path' "path:$tmp/some/data: path:$tmp/some/deep/ " create "path:$tmp/some/d"
	completes 'a path with a backend' "posix:path:$tmp/some/deep/ " show \
		"posix:path:$tmp/some/de"
	completes 'nothing after a free operand' '' create private 6
	for b in $backends; do
		"$unishm" create "$b:0x5c110001" 1 >/dev/null
		completes "segments of $b" "$b:0x5c110001 " remove "$b:0x5c1"
	done
	if ! command -v bash >/dev/null; then
		skip 'completion in bash' 'no bash'
		return
	fi
	run bash -c '. "$1"; program=$2 b=$3 tmp=$4
		complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _unishm
		echo "${COMPREPLY[@]}"; }
		unishm() { "$program" "$@"; }
		complete_words unishm li
		complete_words unishm list --noh
		complete_words unishm list --output "key,mo"
		complete_words unishm remove $b : 0x5c1
		complete_words unishm create path : $tmp/some/da
		complete_words unishm create --from $tmp/some/da' \
		bash "$source/tools/completions/unishm.bash" "$unishm" "$b" "$tmp"
	check 'completion in bash' "$(out)" = "list
--noheadings
key,mode
0x5c110001
$tmp/some/data:
$tmp/some/data"
	for shell in zsh fish; do
		file=unishm.fish
		[ $shell = fish ] || file=_unishm
		if command -v $shell >/dev/null; then
			run $shell -n "$source/tools/completions/$file"
			check "$shell reads its completion" $status = 0
		else
			skip "$shell reads its completion" "no $shell"
		fi
	done
	sweep
}

test_help
test_language
test_completion
