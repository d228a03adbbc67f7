package nodeconfig

import (
	"strings"
	"testing"
)

func TestEveryVariableOfTheOriginalIsTakenOrRefusedWithARemedy(t *testing.T) {
	taken := map[string]string{
		"branch_id": "0C", "trunk_id": "0B", "save_history": "true", "storage_path": "e", "replication_channel": "C",
		"replication_hosts": "[mq:61613]", "send_stomp_ack": "false", "model_uri": "\"test:\"",
	}
	minimum := map[string]string{"branch_id": "0B", "storage_path": "d", "replication_hosts": "mq:1", "replication_channel": "D"}
	for name, value := range taken {
		text := name + ": " + value + "\n"
		for other, value := range minimum {
			if other != name {
				text += other + ": " + value + "\n"
			}
		}
		if name == "model_uri" {
			text += "wire: vesper\n"
		}
		if _, err := Parse("f", []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{
		"port", "storage_url", "storage_template", "storage_template_path", "storage_template_options", "model_options", "version_storage_path",
		"version_model_factory", "stores", "storeDefaults", "default_store", "transaction_log", "use_file_lock", "file_lock_path",
		"exec_cmd_and_exit", "logconfig", "static_path", "template_path", "default_page_name", "default_expires_in", "use_etags",
		"secure_file_access", "work_dir", "mako_module_dir", "actions", "wsgi_middleware", "httpserver",
	} {
		_, err := Parse("f", []byte(minimal+name+": x\n"))
		if err == nil {
			t.Errorf("%s is taken", name)
		} else if text := err.Error(); !strings.Contains(text, "line 3: unknown key \""+name+"\": ") || strings.Contains(text, "did you mean") || strings.Contains(text, "known here") {
			t.Errorf("%s is refused without a remedy of its own: %v", name, err)
		}
	}
}
