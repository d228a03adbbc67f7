package conditions

import "vesperdb.io/vesper/api/v1alpha1"

// nodeAccess says whether tokens and certificates are usable.
func nodeAccess(n Node) judgement {
	if p := n.AccessProblem; p != nil {
		return no(p.Reason, "%s; what runs stays as it is until then", p.Message)
	}
	return yes(v1alpha1.ReasonAccessReady, "tokens and certificates are usable")
}
