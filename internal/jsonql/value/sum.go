package value

import "math"

// Sum adds numbers exactly: its result is the double nearest to the true sum,
// whatever the order in which they were added. So replicas and plans that come
// across the same values in other orders agree. The zero Sum is 0.
type Sum struct {
	// partials do not overlap and ascend; their exact sum is that of all added
	// (Shewchuk, Adaptive Precision Floating-Point Arithmetic, 1997).
	partials []float64
	// special is the sum of what is no finite number.
	special float64
}

// Add adds a number.
func (s *Sum) Add(x float64) {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		s.special += x
		return
	}
	kept := s.partials[:0]
	for _, y := range s.partials {
		if math.Abs(x) < math.Abs(y) {
			x, y = y, x
		}
		high := x + y
		low := y - (high - x)
		if low != 0 {
			kept = append(kept, low)
		}
		x = high
	}
	if math.IsInf(x, 0) {
		s.special += x
		s.partials = kept
		return
	}
	s.partials = append(kept, x)
}

// Result returns the sum.
func (s *Sum) Result() float64 {
	if s.special != 0 || math.IsNaN(s.special) {
		return s.special
	}
	n := len(s.partials)
	if n == 0 {
		return 0
	}
	high, low := s.partials[n-1], 0.0
	n--
	for n > 0 && low == 0 {
		x, y := high, s.partials[n-1]
		n--
		high = x + y
		low = y - (high - x)
	}
	// Half-way cases are decided by what is left below.
	if n > 0 && (low < 0 && s.partials[n-1] < 0 || low > 0 && s.partials[n-1] > 0) {
		twice := 2 * low
		if sum := high + twice; twice == sum-high {
			high = sum
		}
	}
	return high
}
