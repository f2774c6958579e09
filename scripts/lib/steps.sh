# SPDX-License-Identifier: MIT
# Sourced by .ci/run and .ci/nightly: steps with the time that each takes. A step that
# fails does not keep the others from running; the end tells of all.

steps_said='' steps_failed='' steps_began=$(date +%s)

# step NAME COMMAND...
step() {
	step_name=$1
	shift
	step_began=$(date +%s)
	printf '\n######## %s\n' "$step_name"
	step_result=passed
	"$@" || { step_result=FAILED; steps_failed="$steps_failed $step_name"; }
	step_took=$(($(date +%s) - step_began))
	printf '######## %s: %s, %d s\n' "$step_name" "$step_result" "$step_took"
	steps_said="$steps_said$(printf '\n%-16s %-7s %6d s' \
		"$step_name" "$step_result" "$step_took")"
}

# The last thing to do: a line for each step, and the exit status. steps_end [SECONDS]: how long
# all may take; longer is told, and no failure, since the machine may have had other work.
steps_end() {
	steps_took=$(($(date +%s) - steps_began))
	printf '\n%s\n%-24s %6d s\n' "$steps_said" 'in all' "$steps_took"
	if [ -n "${1-}" ] && [ "$steps_took" -gt "$1" ]; then
		echo "longer than $1 s: something has to go to .ci/nightly"
	fi
	[ -z "$steps_failed" ] || { echo "failed:$steps_failed"; exit 1; }
}
