package resources

import (
	"crypto/sha256"
	_ "embed" // the broker's configuration files
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

var (
	//go:embed activemq/activemq.xml.tmpl
	activemqText string
	//go:embed activemq/log4j2.properties
	log4jText string
	//go:embed activemq/login.config
	loginText string

	activemqTemplate = template.Must(template.New("activemq.xml").Parse(activemqText))
)

// activemqValues fill the template of activemq.xml. Sizes are bytes.
type activemqValues struct {
	Name, Group                        string
	Port                               int32
	StoreLimit, TempLimit, JournalFile int64
}

const (
	mebibyte = 1 << 20
	// smallVolume is where journal files of the usual 32 MiB become too coarse:
	// a file is freed as a whole, when all its messages are gone.
	smallVolume = 1024 * mebibyte
)

// BrokerConfig holds a managed broker's configuration. No password is in it.
func BrokerConfig(b Broker) (*corev1ac.ConfigMapApplyConfiguration, error) {
	data, err := brokerFiles(b)
	if err != nil {
		return nil, err
	}
	name := b.Object.Name
	return corev1ac.ConfigMap(BrokerConfigName(name), b.Object.Namespace).
		WithLabels(BrokerLabels(name)).
		WithOwnerReferences(brokerOwner(b.Object)).
		WithData(data), nil
}

func brokerFiles(b Broker) (map[string]string, error) {
	var xml strings.Builder
	if err := activemqTemplate.Execute(&xml, valuesFor(b.Object.Name, b.VolumeSize)); err != nil {
		return nil, fmt.Errorf("rendering activemq.xml of broker %s: %w", b.Object.Name, err)
	}
	return map[string]string{"activemq.xml": xml.String(), "log4j2.properties": log4jText, "login.config": loginText}, nil
}

// valuesFor keeps the message store to 70 % of the volume and temporary files
// to 15 %: the rest is the index, which the limits do not count, and the
// journal file by which the store may overshoot.
func valuesFor(name string, volume resource.Quantity) activemqValues {
	size := volume.Value()
	journal := int64(32 * mebibyte)
	if size < smallVolume {
		journal = 8 * mebibyte
	}
	return activemqValues{
		Name: name, Group: brokerGroup, Port: StompPort,
		StoreLimit: size / 100 * 70, TempLimit: size / 100 * 15, JournalFile: journal,
	}
}

// hashOf is the same for the same files, and short.
func hashOf(files map[string]string) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s %d\n%s", name, len(files[name]), files[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
