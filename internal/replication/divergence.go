package replication

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodestatus"
)

const (
	// maxDiverged bounds the objects that are named, maxBuckets the buckets that
	// are compared object by object, and maxPages the answers about one bucket.
	maxDiverged = 16
	maxBuckets  = 8
	maxPages    = 256
	// maxAnswerBytes bounds the objects in one answer.
	maxAnswerBytes = 512 << 10
	// drillQueue bounds the requests, and the answers, that wait.
	drillQueue = 16
	// drillRest is the least time between two comparisons with one peer.
	drillRest = time.Minute
)

// drill finds the objects in which two nodes of one revision differ, and
// answers peers that do the same. A node that has diverged stays ready and goes
// on taking writes: both of the two see the divergence and neither knows which
// of them is right, so taking those who see it out of service would turn a
// wrong object into an outage. It is an alarm instead: a metric, one line in
// the log that names the objects, and the status, from which the operator makes
// a condition.
type drill struct {
	l        *link
	requests chan DigestRequest
	answers  chan *DigestAnswer
	suspects chan branch.ID
	lastID   uint64

	mu    sync.Mutex
	found map[branch.ID]*divergence
}

// divergence is what is known of one.
type divergence struct {
	nodestatus.Divergence
	// next is when the two may be compared again.
	next time.Time
}

func newDrill(l *link) *drill {
	return &drill{
		l: l, requests: make(chan DigestRequest, drillQueue), answers: make(chan *DigestAnswer, drillQueue),
		suspects: make(chan branch.ID, drillQueue), lastID: l.chance.uint64() >> 1, found: map[branch.ID]*divergence{},
	}
}

// suspect records that a peer has this revision and another state, and has the
// two compared.
func (d *drill) suspect(now time.Time, peer branch.ID, revision branch.Revision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.found[peer]
	if v == nil {
		v = &divergence{Divergence: nodestatus.Divergence{Peer: peer, Since: now.UTC()}}
		d.found[peer] = v
	}
	v.Revision = revision
	if len(v.Objects) > 0 || now.Before(v.next) {
		return
	}
	v.next = now.Add(drillRest)
	select {
	case d.suspects <- peer:
	default:
	}
}

// clear records that a peer has this revision and this state.
func (d *drill) clear(peer branch.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.found[peer] != nil {
		delete(d.found, peer)
		d.l.log.Info("A peer that had diverged has the same state again", slog.String("peer", string(peer)))
	}
}

// status lists the divergences, by peer.
func (d *drill) status() (out []nodestatus.Divergence) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range d.found {
		out = append(out, v.Divergence)
	}
	slices.SortFunc(out, func(a, b nodestatus.Divergence) int { return strings.Compare(string(a.Peer), string(b.Peer)) })
	return out
}

// enqueue takes a peer's request, unless it was meant for an earlier process or
// too many wait.
func (d *drill) enqueue(q DigestRequest) {
	if q.Session != d.l.r.session {
		return
	}
	select {
	case d.requests <- q:
	default:
	}
}

// deliver takes an answer.
func (d *drill) deliver(a *DigestAnswer) {
	select {
	case d.answers <- a:
	default:
	}
}

// run compares and answers until ctx ends. Two nodes that compare themselves
// with each other answer in between.
func (d *drill) run(ctx context.Context) {
	for {
		select {
		case q := <-d.requests:
			d.answer(ctx, q)
		case peer := <-d.suspects:
			objects, err := d.compare(ctx, peer)
			if err != nil && ctx.Err() == nil {
				d.l.log.Info("Could not find out in which objects a peer has diverged, trying again",
					slog.String("peer", string(peer)), slog.Any("error", err))
			}
			d.note(peer, objects)
		case <-d.answers:
		case <-ctx.Done():
			return
		}
	}
}

// note keeps and logs the objects that differ.
func (d *drill) note(peer branch.ID, objects []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.found[peer]
	if v == nil || len(objects) == 0 {
		return
	}
	v.Objects = objects
	d.l.log.Error("Found the objects in which a peer has diverged", slog.String("peer", string(peer)),
		slog.String("revision", v.Revision.String()), slog.Any("objects", objects))
}

func (d *drill) answer(ctx context.Context, q DigestRequest) {
	a := DigestAnswer{ID: q.ID, From: d.l.store.Branch()}
	if q.Bucket == nil {
		revision, sums := d.l.store.Snapshot()
		a.Revision, a.Sums = revision, &sums
	} else {
		revision, objects, err := d.objects(ctx, *q.Bucket)
		if err != nil {
			d.l.log.Debug("Could not answer about a digest", slog.String("peer", string(q.From)), slog.Any("error", err))
			return
		}
		a.Revision, a.Bucket = revision, *q.Bucket
		a.Objects, a.More = page(objects, q.After)
	}
	body, err := EncodeDigestAnswer(a)
	if err == nil {
		err = d.l.publishSync(ctx, q.From, body)
	}
	if err != nil {
		d.l.log.Debug("Could not answer about a digest", slog.String("peer", string(q.From)), slog.Any("error", err))
	}
}

// page returns the objects after an id that fit in one answer.
func page(objects []ObjectDigest, after string) (out []ObjectDigest, more bool) {
	first, found := slices.BinarySearchFunc(objects, after, func(o ObjectDigest, id string) int { return strings.Compare(o.Root, id) })
	if found {
		first++
	}
	size := 0
	for i, o := range objects[first:] {
		if size += len(o.Root) + 16; i > 0 && (i >= maxDigestObjects || size > maxAnswerBytes) {
			return out, true
		}
		out = append(out, o)
	}
	return out, false
}

// objects lists a bucket's objects by id, and the revision they are of.
func (d *drill) objects(ctx context.Context, bucket byte) (branch.Revision, []ObjectDigest, error) {
	lister, ok := d.l.store.(digester)
	if !ok {
		return nil, nil, errors.New("the store cannot list what its digest is made of")
	}
	before := d.l.store.Revision()
	list, err := lister.DigestObjects(ctx, bucket)
	if err != nil {
		return nil, nil, fmt.Errorf("listing bucket %d of the digest: %w", bucket, err)
	}
	if after := d.l.store.Revision(); !after.Equal(before) {
		return nil, nil, fmt.Errorf("listing bucket %d of the digest: the revision went from %s to %s meanwhile", bucket, before, after)
	}
	out := make([]ObjectDigest, len(list))
	for i, o := range list {
		out[i] = ObjectDigest(o)
	}
	slices.SortFunc(out, func(a, b ObjectDigest) int { return cmp.Compare(a.Root, b.Root) })
	return before, out, nil
}

// compare asks a peer for its sums, and then for the objects of the buckets that
// differ. It returns the first ids that differ, sorted.
func (d *drill) compare(ctx context.Context, peer branch.ID) (ids []string, err error) {
	theirs, err := d.ask(ctx, peer, DigestRequest{})
	if err != nil {
		return nil, err
	}
	revision, ours := d.l.store.Snapshot()
	if theirs.Sums == nil || !revision.Equal(theirs.Revision) {
		return nil, fmt.Errorf("it is at %s now, this node at %s", theirs.Revision, revision)
	}
	buckets := 0
	for i := range ours {
		if ours[i] == theirs.Sums[i] || buckets == maxBuckets || len(ids) >= maxDiverged {
			continue
		}
		buckets++
		differ, err := d.compareBucket(ctx, peer, byte(i), revision)
		if err != nil {
			return ids, err
		}
		ids = append(ids, differ...)
	}
	slices.Sort(ids)
	return ids[:min(len(ids), maxDiverged)], nil
}

func (d *drill) compareBucket(ctx context.Context, peer branch.ID, bucket byte, revision branch.Revision) ([]string, error) {
	at, ours, err := d.objects(ctx, bucket)
	if err != nil {
		return nil, err
	}
	var theirs []ObjectDigest
	q := DigestRequest{Bucket: &bucket}
	for range maxPages {
		a, err := d.ask(ctx, peer, q)
		if err != nil {
			return nil, err
		}
		if !a.Revision.Equal(revision) || !at.Equal(revision) {
			return nil, errors.New("a revision moved on meanwhile")
		}
		theirs = append(theirs, a.Objects...)
		if !a.More || len(a.Objects) == 0 {
			return differing(ours, theirs), nil
		}
		q.After = theirs[len(theirs)-1].Root
	}
	return nil, fmt.Errorf("bucket %d has more objects than %d answers hold", bucket, maxPages)
}

// differing merges two lists sorted by id and returns the ids that are in one
// only, or with another hash.
func differing(a, b []ObjectDigest) (ids []string) {
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Root < b[0].Root:
			ids, a = append(ids, a[0].Root), a[1:]
		case len(a) == 0 || b[0].Root < a[0].Root:
			ids, b = append(ids, b[0].Root), b[1:]
		default:
			if a[0].Hash != b[0].Hash {
				ids = append(ids, a[0].Root)
			}
			a, b = a[1:], b[1:]
		}
	}
	return ids
}

// ask sends a request and waits for its answer, and answers others meanwhile.
func (d *drill) ask(ctx context.Context, peer branch.ID, q DigestRequest) (*DigestAnswer, error) {
	d.l.mu.Lock()
	p := d.l.peers.byBranch[peer]
	if p != nil {
		q.Session = p.Session
	}
	d.l.mu.Unlock()
	d.lastID++
	q.ID, q.From = d.lastID, d.l.store.Branch()
	body, err := EncodeDigestRequest(q)
	if err != nil {
		return nil, err
	}
	if err := d.l.publishSync(ctx, peer, body); err != nil {
		return nil, err
	}
	timer := time.NewTimer(d.l.o.RequestTimeout)
	defer timer.Stop()
	for {
		select {
		case a := <-d.answers:
			if a.ID == q.ID && a.From == peer {
				return a, nil
			}
		case other := <-d.requests:
			d.answer(ctx, other)
		case <-timer.C:
			return nil, fmt.Errorf("it did not answer within %v", d.l.o.RequestTimeout)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
