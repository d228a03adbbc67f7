package conditions

import "vesperdb.io/vesper/api/v1alpha1"

// brokerCredentials says whether nodes can log in: the Secret and its keys are there.
func brokerCredentials(b Broker) judgement {
	switch {
	case b.Secret == "":
		return yes(v1alpha1.ReasonReady, "no login: spec.external.credentialsSecretRef is not set")
	case !b.SecretExists && b.Managed:
		return no(v1alpha1.ReasonPending, "Secret %s is not made yet", b.Secret)
	case !b.SecretExists:
		return no(v1alpha1.ReasonCredentialsMissing, "Secret %s does not exist in this namespace: make it with the keys %s and %s",
			b.Secret, v1alpha1.CredentialsUsernameKey, v1alpha1.CredentialsPasswordKey)
	case b.MissingKey != "":
		return no(v1alpha1.ReasonCredentialsMissing, "Secret %s has no key %s, or an empty one: add it", b.Secret, b.MissingKey)
	default:
		return yes(v1alpha1.ReasonReady, "Secret %s has the credentials", b.Secret)
	}
}
