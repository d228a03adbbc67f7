package conditions

import (
	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/topology"
)

// nodeStorage says whether the branch's data has its volume.
func nodeStorage(n Node) judgement {
	switch n.Verdict.Reason {
	case topology.VolumeLost, topology.BranchMismatch, topology.VolumeNotOwn, topology.VolumeRetired, topology.VolumeTerminating:
		return no(string(n.Verdict.Reason), "%s", n.Verdict.Message)
	case topology.Recording, topology.Invalid, topology.ChannelShared, topology.TrunkConflict, topology.Exhausted:
	}
	if claim := n.Volume.Claim; claim != nil && claim.DeletionTimestamp != nil {
		return no(v1alpha1.ReasonVolumeTerminating,
			"volume claim %s is marked for deletion and goes, with the data of branch %s, when the pod ends: delete the VesperNode, so that a node with a fresh id takes its place",
			claim.Name, n.Branch)
	}
	return n.Volume.judge()
}
