#!/bin/sh
# SPDX-License-Identifier: MIT
# Every broken variant of the library must be told from System V within so many
# steps: mutants.sh PROGRAM [STEPS]
program=$1
steps=${2:-20000}
missed=0
caught=0

if [ -n "$UNISHM_TEST_EMULATOR" ]; then
	echo "mutants: skipped: they prove the model test, not this processor; $UNISHM_TEST_EMULATOR is slow"
	exit 77
fi

for mutant in $("$program" --list-mutants); do
	options=
	[ "$mutant" = no-change-time ] && options=--pause # clocks tell seconds
	said=$("$program" --mutant "$mutant" --steps "$steps" $options 2>&1)
	status=$?
	last=$(printf '%s\n' "$said" | tail -n 1)
	played=$(printf '%s\n' "$last" | sed -n 's/.*, \([0-9]*\) steps played.*/\1/p')
	if [ "$status" -eq 1 ] && [ -n "$played" ]; then
		caught=$((caught + 1))
		echo "caught after $played steps: $mutant"
	else
		missed=$((missed + 1))
		echo "MISSED: $mutant: $last"
	fi
done
echo "mutants: $caught caught, $missed missed"
[ "$missed" -eq 0 ] && [ "$caught" -ge 10 ]
