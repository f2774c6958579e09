#!/bin/sh
# SPDX-License-Identifier: MIT
# Every broken variant of the library must be found: by the model test within so many steps, by
# races or relays within so many seconds. mutants.sh DIRECTORY [STEPS [SECONDS]]; ONLY="NAME..."
# plays those alone.
directory=$1
steps=${2:-20000}
seconds=${3:-20}
missed=0
caught=0
list=${TMPDIR:-/tmp}/mutants.$$

if [ -n "$UNISHM_TEST_EMULATOR" ]; then
	echo 'mutants: skipped: they prove the tests, not this processor;' \
		"$UNISHM_TEST_EMULATOR is slow"
	exit 77
fi

# try PROGRAM MUTANT: what it says, last what it found or how far it came.
try()
{
	options=
	[ "$2" = no-change-time ] && options=--pause # clocks tell seconds
	case $1 in
	model) "$directory/mutants_model" --mutant "$2" --steps "$steps" $options ;;
	*) "$directory/mutants_$1" -m "$2" -b posix -t "$seconds" ;;
	esac 2>&1
}

trap 'rm -f "$list"' EXIT
"$directory/mutants_model" --list-mutants > "$list"
while read -r mutant program; do
	case " ${ONLY:-$mutant} " in *" $mutant "*) ;; *) continue ;; esac
	# Races and relays meet what they look for by chance: mostly in seconds, rarely in minutes.
	for _ in $([ "$program" = model ] && echo 1 || echo 1 2 3 4 5); do
		said=$(try "$program" "$mutant" < /dev/null)
		status=$?
		[ "$status" -ne 0 ] && break
	done
	last=$(printf '%s\n' "$said" | tail -n 1)
	if [ "$status" -eq 1 ]; then
		caught=$((caught + 1))
		echo "caught by $program: $mutant: $last"
	else
		missed=$((missed + 1))
		echo "MISSED by $program: $mutant: $last"
	fi
done < "$list"
echo "mutants: $caught caught, $missed missed"
[ "$missed" -eq 0 ] && [ "$caught" -gt 0 ]
