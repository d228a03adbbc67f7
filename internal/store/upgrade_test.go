package store

import (
	"encoding/binary"
	"errors"
	"testing"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
)

// TestFileOfFormat1IsUpgradedInPlace: nothing of it changes but what format 2
// adds, and what is written then can be trimmed, shipped and checked.
func TestFileOfFormat1IsUpgradedInPlace(t *testing.T) {
	dir := closed(t)
	s := open(t, dir, "0A")
	if err := s.SetCursor(t.Context(), "main", 1); err != nil {
		t.Fatal(err)
	}
	want := raw(t, s, append(visible, bucketLog, bucketDots, bucketBases, bucketHistory, bucketCursors)...)
	digest, incarnation := s.Digest(), s.Incarnation()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, func(tx *bolt.Tx) error {
		if err := settleTail(tx); err != nil {
			return err
		}
		for _, name := range [][]byte{bucketConflictLog, bucketForks, bucketEvidence, bucketFloor, bucketPast, bucketClocks} {
			if err := tx.DeleteBucket(name); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.Bucket(bucketCursors).Put([]byte("main"), positionKey(1)),
			tx.Bucket(bucketMeta).Delete(metaVolume),
			tx.Bucket(bucketMeta).Put(metaFormat, binary.AppendUvarint(nil, 1)))
	})
	s = open(t, dir, "0A")
	if raw(t, s, append(visible, bucketLog, bucketDots, bucketBases, bucketHistory, bucketCursors)...) != want {
		t.Error("the content changed")
	}
	if pos, err := s.Cursor("main"); err != nil || pos != 1 {
		t.Errorf("the cursor is at %d, %v", pos, err)
	}
	if s.Digest() != digest || s.Incarnation() != incarnation || s.Copied() {
		t.Error("digest or incarnation changed, or the file counts as a copy")
	}
	wantSound(t, s)
	trimAll(t, s, branch.Revision{{Branch: "0A", Seq: 2}})
	data, _ := snapshotOf(t, s)
	wantSame(t, s, restored(t, data, "0B"))
	wantSound(t, s)
}

// TestFileOfFormat2IsUpgradedInPlace: its indexes are in their buckets, and go on
// there and in the tail.
func TestFileOfFormat2IsUpgradedInPlace(t *testing.T) {
	dir := closed(t)
	s := open(t, dir, "0A")
	if err := s.SetCursor(t.Context(), "main", 1); err != nil {
		t.Fatal(err)
	}
	want := raw(t, s, append(visible, bucketLog, bucketDots, bucketHistory, bucketCursors)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, func(tx *bolt.Tx) error {
		return errors.Join(settleTail(tx), tx.Bucket(bucketMeta).Put(metaFormat, binary.AppendUvarint(nil, 2)))
	})
	s = open(t, dir, "0A")
	if raw(t, s, append(visible, bucketLog, bucketDots, bucketHistory, bucketCursors)...) != want {
		t.Error("the content changed")
	}
	if pos, err := s.Cursor("main"); err != nil || pos != 1 {
		t.Errorf("the cursor is at %d, %v", pos, err)
	}
	wantSound(t, s)
	do(t, s, (*Tx).Replace, `{"id":"x","new":1}`)
	wantSound(t, s)
	data, _ := snapshotOf(t, s)
	wantSame(t, s, restored(t, data, "0B"))
}

// TestFileOfFormat2ThatLacksABucketIsDamaged: an upgrade brings what the format
// brought, and hides nothing that was lost.
func TestFileOfFormat2ThatLacksABucketIsDamaged(t *testing.T) {
	dir := closed(t)
	edit(t, dir, func(tx *bolt.Tx) error {
		return errors.Join(settleTail(tx), tx.DeleteBucket(bucketPast), tx.Bucket(bucketMeta).Put(metaFormat, binary.AppendUvarint(nil, 2)))
	})
	_, err := Open(t.Context(), Options{Dir: dir, Branch: "0A", Logger: quiet()})
	if _, ok := errors.AsType[*CorruptError](err); !ok {
		t.Errorf("got %v", err)
	}
}

func TestFileThatLacksABucketIsDamaged(t *testing.T) {
	dir := closed(t)
	edit(t, dir, func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketPast) })
	if err := openError(t, dir, "0A"); !is[*CorruptError](err) {
		t.Errorf("got %v", err)
	}
}
