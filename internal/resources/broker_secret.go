package resources

import (
	"crypto/rand"
	"fmt"
	"strings"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

const (
	// brokerUser is the user that nodes log in as.
	brokerUser = "vesper"
	// brokerGroup is the group that may read, write and create destinations.
	brokerGroup = "nodes"

	usersFile  = "users.properties"
	groupsFile = "groups.properties"
)

// Credentials are a user's name and password at a broker. They format as
// nothing but the name, so that no log or error holds the password.
type Credentials struct{ Username, Password string }

// String gives the name only.
func (c Credentials) String() string { return "credentials of " + c.Username }

// GoString gives the name only.
func (c Credentials) GoString() string { return c.String() }

// BrokerCredentials returns the credentials that a managed broker's Secret
// holds. Only when there are none, or unusable ones, does it make new: 32
// characters from the system's random source.
func BrokerCredentials(secret map[string][]byte) Credentials {
	have := Credentials{
		Username: string(secret[v1alpha1.CredentialsUsernameKey]),
		Password: string(secret[v1alpha1.CredentialsPasswordKey]),
	}
	if usable(have.Username) && usable(have.Password) {
		return have
	}
	return Credentials{Username: brokerUser, Password: rand.Text() + rand.Text()[:6]}
}

// usable reports whether text can be written to a properties file, sent in a
// STOMP header and given to the shell probe as it is.
func usable(text string) bool {
	return text != "" && len(text) <= 256 && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// BrokerSecret holds the credentials in two forms: username and password for
// nodes, the operator and the probe; and the files of the broker's login module.
func BrokerSecret(b Broker, c Credentials) *corev1ac.SecretApplyConfiguration {
	name := b.Object.Name
	return corev1ac.Secret(BrokerSecretName(name), b.Object.Namespace).
		WithLabels(BrokerLabels(name)).
		WithOwnerReferences(brokerOwner(b.Object)).
		WithData(map[string][]byte{
			v1alpha1.CredentialsUsernameKey: []byte(c.Username),
			v1alpha1.CredentialsPasswordKey: []byte(c.Password),
			usersFile:                       fmt.Appendf(nil, "%s=%s\n", property(c.Username), property(c.Password)),
			groupsFile:                      fmt.Appendf(nil, "%s=%s\n", brokerGroup, property(c.Username)),
		})
}

// property escapes what Java's properties files give a meaning of its own.
func property(text string) string {
	return strings.NewReplacer(`\`, `\\`, `=`, `\=`, `:`, `\:`, `#`, `\#`, `!`, `\!`).Replace(text)
}
