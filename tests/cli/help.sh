# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Help, versions, and completion.

test_help() {
	for command in '' list show create remove chmod chown lock unlock read write watch doctor; do
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
	if [ -d "$source/tools/completions" ] && command -v bash >/dev/null; then
		run bash -c '. "$1"; program=$2
			complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _unishm
			echo "${COMPREPLY[@]}"; }
			unishm() { "$program" "$@"; }
			complete_words unishm li
			complete_words unishm list --noh
			complete_words unishm list --output "key,mo"' bash "$source/tools/completions/unishm.bash" "$unishm"
		check 'completion in bash' "$(out)" = 'list
--noheadings
key,mode'
	fi
}

test_help
