package changeset

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/statement"
)

// check returns an error unless the changeset is within the limits and in the
// one form in which its meaning is encoded.
func (c Changeset) check(limits Limits) error {
	if _, err := branch.ParseID(string(c.Branch)); err != nil {
		return err
	}
	if c.Seq == 0 || c.Clock == 0 || c.Clock > MaxClock {
		return fmt.Errorf("sequence %d and clock %d must be from 1 up, the clock at most %d", c.Seq, c.Clock, MaxClock)
	}
	if (c.Seq == 1) != (c.Prev == [32]byte{}) {
		return errors.New("the hash of the previous changeset must be there exactly from the second on")
	}
	if err := checkBase(c.Base, c.Branch); err != nil {
		return err
	}
	err := cmp.Or(checkLimit("the author", len(c.Author), limits.TextBytes),
		checkLimit("the comment", len(c.Comment), limits.TextBytes),
		checkLimit("the list of objects", len(c.Objects), limits.Objects))
	if err != nil {
		return err
	}
	return c.checkObjects(limits)
}

func (c Changeset) checkObjects(limits Limits) error {
	for i, o := range c.Objects {
		if i > 0 && c.Objects[i-1].Root >= o.Root {
			return fmt.Errorf("object %s is out of order", statement.Excerpt(o.Root))
		}
		if err := o.check(c, limits); err != nil {
			return fmt.Errorf("object %s: %w", statement.Excerpt(o.Root), err)
		}
	}
	return nil
}

func checkBase(base branch.Revision, own branch.ID) error {
	for i, d := range base {
		if _, err := branch.ParseID(string(d.Branch)); err != nil {
			return fmt.Errorf("base: %w", err)
		}
		if d.Seq == 0 || d.Branch == own || i > 0 && base[i-1].Branch >= d.Branch {
			return fmt.Errorf("base component %s is zero, its own branch's or out of order", d)
		}
	}
	return nil
}

func (o ObjectChange) check(c Changeset, limits Limits) error {
	if err := statement.CheckID(o.Root); err != nil {
		return err
	}
	if statement.IsEmbedded(o.Root) {
		return errors.New("the id is that of an embedded object")
	}
	if o.Delete != (len(o.Props) == 0) {
		return errors.New("it must be either deleted or have changed properties")
	}
	if err := checkLimit("the list of properties", len(o.Props), limits.Props); err != nil {
		return err
	}
	if err := o.checkFloor(c); err != nil {
		return err
	}
	for i, p := range o.Props {
		if i > 0 && compareProps(o.Props[i-1], p) >= 0 {
			return fmt.Errorf("property %s is out of order", statement.Excerpt(p.Predicate))
		}
		if err := p.check(o.Root, limits); err != nil {
			return err
		}
	}
	return nil
}

func (o ObjectChange) checkFloor(c Changeset) error {
	if o.Floor.IsZero() {
		return nil
	}
	if _, err := branch.ParseID(string(o.Floor.Dot.Branch)); err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	if o.Floor.Dot.Seq == 0 || o.Floor.Compare(c.Stamp()) >= 0 {
		return fmt.Errorf("its floor %s is not older than the changeset", o.Floor.Dot)
	}
	return nil
}

func compareProps(a, b PropChange) int {
	return cmp.Or(strings.Compare(a.Subject, b.Subject), strings.Compare(a.Predicate, b.Predicate))
}

func (p PropChange) check(root string, limits Limits) error {
	subject := cmp.Or(p.Subject, root)
	if p.Subject == root || statement.Root(subject) != root {
		return fmt.Errorf("subject %s is not embedded in it", statement.Excerpt(p.Subject))
	}
	if p.Mode != Assign && p.Mode != Patch {
		return fmt.Errorf("property %s: mode %d is not known", statement.Excerpt(p.Predicate), p.Mode)
	}
	if p.Mode == Assign && len(p.Removed) > 0 {
		return fmt.Errorf("property %s: an assignment names no removed values", statement.Excerpt(p.Predicate))
	}
	err := cmp.Or(checkLimit("the list of values", len(p.Removed), limits.Values),
		checkLimit("the list of values", len(p.Added), limits.Values))
	if err != nil {
		return err
	}
	if err := (statement.Statement{Subject: subject, Predicate: p.Predicate, Term: statement.Null()}).Check(); err != nil {
		return err
	}
	if err := p.checkValues(subject, p.Removed); err != nil {
		return err
	}
	return p.checkValues(subject, p.Added)
}

// checkValues wants values sorted and each once: a set has one encoding.
func (p PropChange) checkValues(subject string, values []Value) error {
	for i, v := range values {
		if i > 0 && CompareValues(values[i-1], v) >= 0 {
			return fmt.Errorf("property %s: its values are out of order", statement.Excerpt(p.Predicate))
		}
		if err := v.Statement(subject, p.Predicate).Check(); err != nil {
			return err
		}
	}
	return nil
}
