package apply

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// configuration hands an object to the client as a typed apply configuration.
// controller-runtime's own wrapper of an unstructured object would make a
// client that reads its own writes keep a second, unstructured cache of the
// kind, and let reads of the typed one run ahead of the write.
type configuration struct {
	object *unstructured.Unstructured
	// ResourceVersion is the server's after the write; the client finds it by its name.
	ResourceVersion *string
}

// IsApplyConfiguration marks the type for the client.
func (*configuration) IsApplyConfiguration() {}

// GetName tells the client where to write, as the next three do.
func (c *configuration) GetName() *string { name := c.object.GetName(); return &name }

// GetNamespace see GetName.
func (c *configuration) GetNamespace() *string { ns := c.object.GetNamespace(); return &ns }

// GetKind see GetName.
func (c *configuration) GetKind() *string { kind := c.object.GetKind(); return &kind }

// GetAPIVersion see GetName.
func (c *configuration) GetAPIVersion() *string { v := c.object.GetAPIVersion(); return &v }

// MarshalJSON gives what is applied.
func (c *configuration) MarshalJSON() ([]byte, error) { return json.Marshal(c.object.Object) }

// UnmarshalJSON takes the server's answer.
func (c *configuration) UnmarshalJSON(raw []byte) error {
	object := map[string]any{}
	if err := utiljson.Unmarshal(raw, &object); err != nil {
		return fmt.Errorf("decoding the API server's answer: %w", err)
	}
	c.object = &unstructured.Unstructured{Object: object}
	version := c.object.GetResourceVersion()
	c.ResourceVersion = &version
	return nil
}
