package value

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func sumOf(list []float64) float64 {
	var s Sum
	for _, x := range list {
		s.Add(x)
	}
	return s.Result()
}

func TestASumIsTheDoubleNearestToTheTrueOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(rapid.OneOf(
			rapid.Float64Range(-1e300, 1e300), rapid.Float64Range(-1, 1),
			rapid.SampledFrom([]float64{1e16, 1, -1e16, 0.1, 1e-300, math.Pow(2, 53), -1, 5e-324}),
		)).Draw(t, "numbers")
		exact := new(big.Float).SetPrec(2200)
		for _, x := range list {
			exact.Add(exact, new(big.Float).SetPrec(2200).SetFloat64(x))
		}
		want, _ := exact.Float64()
		if got := sumOf(list); got != want && !math.IsInf(got, 0) {
			t.Fatalf("%v: %v, want %v", list, got, want)
		}
	})
}

func TestTheOrderOfASumDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Float64Range(-1e12, 1e12), 1, 40).Draw(t, "numbers")
		want := sumOf(list)
		rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed"))).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		if got := sumOf(list); got != want {
			t.Fatalf("%v then %v", want, got)
		}
	})
}

func TestASumOfWhatIsNotFiniteIsNot(t *testing.T) {
	if got := sumOf([]float64{1, math.Inf(1)}); !math.IsInf(got, 1) {
		t.Errorf("1 and infinity make %v", got)
	}
	if got := sumOf([]float64{math.MaxFloat64, math.MaxFloat64}); !math.IsInf(got, 1) {
		t.Errorf("twice the greatest number makes %v", got)
	}
	if got := sumOf(nil); got != 0 {
		t.Errorf("nothing makes %v", got)
	}
}
