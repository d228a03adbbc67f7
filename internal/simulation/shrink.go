package simulation

import "slices"

// Shrink looks for a shorter plan that fails in the same way: it leaves out
// ever smaller pieces of the acts as long as fails says that the rest still
// fails, and tries at most so many times.
func Shrink(plan Plan, tries int, fails func(Plan) bool) Plan {
	for size := (len(plan.Acts) + 1) / 2; size > 0; size /= 2 {
		for at := 0; at < len(plan.Acts); {
			if tries--; tries < 0 {
				return plan
			}
			shorter := plan
			shorter.Acts = without(plan.Acts, at, min(at+size, len(plan.Acts)))
			if fails(shorter) {
				plan = shorter
			} else {
				at += size
			}
		}
	}
	return plan
}

// without leaves out acts; what comes after them comes as late as before.
func without(acts []Act, from, to int) []Act {
	out := slices.Concat(acts[:from], acts[to:])
	if from < len(out) {
		for _, gone := range acts[from:to] {
			out[from].After += gone.After
		}
	}
	return out
}
