# SPDX-License-Identifier: MIT
# Completion of unishm(1) for bash.

_unishm_columns="segment backend id key owner_user owner_group creator_user creator_group mode size
	number_attached creator_process last_op_process last_attach_time last_detach_time
	last_change_time locked removed emulated inexact name"

# The options of the command in $1, as its own help tells them.
_unishm_options() {
	unishm "$1" --help 2>/dev/null | command grep -oE -e '--[a-z][a-z-]*' | sort -u
}

_unishm_reply() { # words, what is typed
	local word
	COMPREPLY=()
	while read -r word; do
		COMPREPLY+=("$word")
	done < <(compgen -W "$1" -- "$2")
}

# Segments hold colons, at which bash cuts words: hand back only what follows the last one.
_unishm_segments() {
	local typed=$1 cut word
	_unishm_reply "$(unishm list --noheadings --output segment 2>/dev/null)" "$typed"
	[[ $typed == *:* && $COMP_WORDBREAKS == *:* ]] || return
	cut=${typed%"${typed##*:}"}
	for word in "${!COMPREPLY[@]}"; do
		COMPREPLY[word]=${COMPREPLY[word]#"$cut"}
	done
}

_unishm_list_of_columns() {
	local typed=$1 done=
	[[ $typed != *,* ]] || done=${typed%,*},
	_unishm_reply "$_unishm_columns" "${typed##*,}"
	COMPREPLY=("${COMPREPLY[@]/#/$done}")
}

# The word at the cursor, with the parts that bash cut off at colons.
_unishm_word() {
	local i=$COMP_CWORD word=${COMP_WORDS[COMP_CWORD]}
	while ((i > 1)) && [[ $word == :* || ${COMP_WORDS[i-1]} == *: ]]; do
		i=$((i - 1))
		word=${COMP_WORDS[i]}$word
	done
	echo "$word"
}

_unishm() {
	local commands="list show create remove chmod chown lock unlock read write watch doctor"
	local command=${COMP_WORDS[1]} before=${COMP_WORDS[COMP_CWORD-1]} word
	word=$(_unishm_word)
	if ((COMP_CWORD == 1)); then
		_unishm_reply "$commands --help --version" "$word"
		return
	fi
	case $before in
	-o | --output) _unishm_list_of_columns "$word" ;;
	-s | --sort) _unishm_reply "$_unishm_columns" "$word" ;;
	-B | --backend) _unishm_reply "posix sysv" "$word" ;;
	-f | --from) COMPREPLY=($(compgen -f -- "$word")) ;;
	-m | --mode | --offset | --length | --older-than | -i | --interval | -c | --count) ;;
	*)
		case $word in
		-*) _unishm_reply "$(_unishm_options "$command")" "$word" ;;
		*)
			case $command in
			list | doctor | create) ;;
			*) _unishm_segments "$word" ;;
			esac
			;;
		esac
		;;
	esac
}

complete -F _unishm unishm
