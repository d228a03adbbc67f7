package bench

import (
	"math"
	"slices"
)

// Figures are the samples of a run: of each quantity one value a round.
type Figures struct {
	samples map[string][]float64
	// why says of a quantity that could not be measured what to do about it.
	why map[string]string
}

// NewFigures returns an empty collection.
func NewFigures() *Figures {
	return &Figures{samples: map[string][]float64{}, why: map[string]string{}}
}

// Add records a quantity's value in this round.
func (f *Figures) Add(name string, value float64) { f.samples[name] = append(f.samples[name], value) }

// Skip records why a quantity has no value.
func (f *Figures) Skip(name, why string) { f.why[name] = why }

// Last returns the latest value of a quantity, and whether there is one.
func (f *Figures) Last(name string) (float64, bool) {
	s := f.samples[name]
	if len(s) == 0 {
		return math.NaN(), false
	}
	return s[len(s)-1], true
}

// Median is the middle of a quantity's samples, NaN without any.
func (f *Figures) Median(name string) float64 { return Quantile(f.samples[name], 0.5) }

// Range returns the least and the greatest sample, NaN without any.
func (f *Figures) Range(name string) (low, high float64) {
	s := f.samples[name]
	if len(s) == 0 {
		return math.NaN(), math.NaN()
	}
	return slices.Min(s), slices.Max(s)
}

// Spread is the distance from the least to the greatest sample in parts of the
// median; 0 for a single one.
func (f *Figures) Spread(name string) float64 {
	low, high := f.Range(name)
	return (high - low) / f.Median(name)
}

// Quantile returns the value below which a share q of the samples lies, by the
// nearest-rank method; the mean of the middle two for the median of an even
// number. It is NaN without samples.
func Quantile(samples []float64, q float64) float64 {
	n := len(samples)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	if q == 0.5 && n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[min(max(int(math.Ceil(q*float64(n)))-1, 0), n-1)]
}
