# SPDX-License-Identifier: MIT
# Completion of unishm(1) for bash. The command itself knows its options and segments.

# The word at the cursor, with the parts that bash cut off at colons and signs.
_unishm_word() {
	local i=$COMP_CWORD word=${COMP_WORDS[COMP_CWORD]}
	while ((i > 1)) && [[ $word == [:=]* || ${COMP_WORDS[i-1]} == *[:=] ]]; do
		i=$((i - 1))
		word=${COMP_WORDS[i]}$word
	done
	_unishm_typed=$word _unishm_before=$i
}

_unishm() {
	local _unishm_typed _unishm_before candidate cut=
	_unishm_word
	COMPREPLY=()
	# What bash takes for the word begins behind the last colon or sign.
	if [[ $_unishm_typed == *:* && $COMP_WORDBREAKS == *:* ]]; then
		cut=${_unishm_typed%"${_unishm_typed##*:}"}
	fi
	[[ $_unishm_typed != --*=* || -n $cut ]] || cut=${_unishm_typed%%=*}=
	while IFS=$'\t' read -r candidate _; do
		if [[ $candidate == :files ]]; then
			compopt -o filenames 2>/dev/null
			while read -r candidate; do
				COMPREPLY+=("$candidate")
			done < <(compgen -f -- "${_unishm_typed#"$cut"}")
			return
		fi
		[[ $candidate != *[:/] ]] || compopt -o nospace 2>/dev/null
		[[ $_unishm_typed != --*=* ]] || candidate=${_unishm_typed%%=*}=${candidate}
		COMPREPLY+=("${candidate#"$cut"}")
	done < <(unishm __complete "${COMP_WORDS[@]:1:_unishm_before-1}" "$_unishm_typed" \
		2>/dev/null)
}

complete -F _unishm unishm
