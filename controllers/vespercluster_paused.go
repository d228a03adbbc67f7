package controllers

import (
	"context"
	"slices"

	"vesperdb.io/vesper/api/v1alpha1"
)

// hold finds what would be changed if the cluster were not paused, and changes nothing.
func (s *clusterScope) hold(ctx context.Context) error {
	waiting := slices.Clone(s.planned.Remove)
	image := s.image()
	for _, member := range s.planned.Members {
		if s.nodes[member.Name] == nil {
			waiting = append(waiting, member.Name)
			continue
		}
		differs, err := s.applier().Differs(ctx, s.desiredNode(member, image), &v1alpha1.VesperNode{})
		if err != nil {
			return err
		}
		if differs {
			waiting = append(waiting, member.Name)
		}
	}
	slices.Sort(waiting)
	s.pause.Waiting = waiting
	return nil
}
