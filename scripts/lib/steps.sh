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

# The last thing to do: a line for each step, and the exit status.
steps_end() {
	printf '\n%s\n%-24s %6d s\n' "$steps_said" 'in all' $(($(date +%s) - steps_began))
	[ -z "$steps_failed" ] || { echo "failed:$steps_failed"; exit 1; }
}
