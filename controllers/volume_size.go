package controllers

import (
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/internal/apply"
	"vesperdb.io/vesper/internal/resources"
)

// resizeAgain is when a size that the API server refused is tried again without an
// edit: storage classes and quotas are not watched.
const resizeAgain = 5 * time.Minute

// sizes remembers which sizes of volume claims the API server refused, so that it is
// not asked again at each pass. Its zero value is ready.
type sizes struct {
	mu      sync.Mutex
	refused map[types.UID]refusedSize
}

// refusedSize is what was refused of the claim of an owner as its spec then was.
type refusedSize struct {
	size       string
	generation int64
	at         time.Time
	err        error
}

// apply has a claim applied that asks for a size. When the API server refuses the
// size, all else of the claim is applied, and why is returned as refused: a storage
// class that cannot expand must keep nothing else from it, such as that it is to
// outlive its owner. existing is the claim as it is, nil when there is none.
func (s *sizes) apply(owner client.Object, existing *corev1.PersistentVolumeClaim, size resource.Quantity, now time.Time, do func(resource.Quantity) error) (refused, err error) {
	if existing == nil {
		return nil, do(size)
	}
	asks := resources.ClaimSize(existing)
	if size.Cmp(asks) == 0 {
		s.forget(owner)
		return nil, do(asks)
	}
	if why := s.known(owner, size, now); why != nil {
		return why, do(asks)
	}
	if err = do(size); err == nil || !refusesSize(err) {
		return nil, err
	}
	s.note(owner, refusedSize{size: size.String(), generation: owner.GetGeneration(), at: now, err: err})
	return err, do(asks)
}

// refusesSize reports whether a write failed because of what was to be written of
// a claim that is the owner's.
func refusesSize(err error) bool {
	_, foreign := errors.AsType[*apply.ForeignError](err)
	return !foreign && isRefusal(err)
}

// known is why a size was refused lately, nil when it was not.
func (s *sizes) known(owner client.Object, size resource.Quantity, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, found := s.refused[owner.GetUID()]
	if !found || last.size != size.String() || last.generation != owner.GetGeneration() || now.Sub(last.at) >= resizeAgain {
		return nil
	}
	return last.err
}

func (s *sizes) note(owner client.Object, refused refusedSize) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused == nil {
		s.refused = map[types.UID]refusedSize{}
	}
	s.refused[owner.GetUID()] = refused
}

// forget drops what is remembered of an owner.
func (s *sizes) forget(owner client.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.refused, owner.GetUID())
}
