package rabbitmqtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// program starts the server in the foreground, control administers it. They are the ones behind
// Debian's wrappers, which insist on a user of their own.
const (
	program = "/usr/lib/rabbitmq/bin/rabbitmq-server"
	control = "/usr/lib/rabbitmq/bin/rabbitmqctl"
)

// installed tells what to install when RabbitMQ is not there.
func installed() error {
	if _, err := os.Stat(program); err != nil {
		return errors.New("needs a real RabbitMQ: apt-get install --no-install-recommends rabbitmq-server")
	}
	return nil
}

// configure writes the files that RabbitMQ reads at its start.
func (b *Broker) configure() error {
	// Memory and disk are bounded: past the mark a producer's connection is blocked.
	text := fmt.Sprintf("listeners.tcp.default = 127.0.0.1:%d\nstomp.listeners.tcp.1 = %s\n"+
		"vm_memory_high_watermark.absolute = 400MB\ndisk_free_limit.absolute = 50MB\n"+
		"log.console = true\nlog.console.level = info\n", b.amqp, b.Addr())
	if err := os.WriteFile(filepath.Join(b.dir, "rabbitmq.conf"), []byte(text), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "enabled_plugins"), []byte("[rabbitmq_stomp].\n"), 0o600)
}

// environment keeps everything in the broker's directory and its machine quiet when idle.
func (b *Broker) environment() []string {
	at := func(name string) string { return filepath.Join(b.dir, name) }
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir, "LANG=C.UTF-8",
		"RABBITMQ_NODENAME=" + b.node, "RABBITMQ_DIST_PORT=" + strconv.Itoa(b.dist),
		"RABBITMQ_MNESIA_BASE=" + at("data"), "RABBITMQ_LOG_BASE=" + at("log"), "RABBITMQ_SCHEMA_DIR=" + at("schema"),
		"RABBITMQ_GENERATED_CONFIG_DIR=" + at("generated"), "RABBITMQ_PID_FILE=" + at("pid"),
		"RABBITMQ_CONFIG_FILE=" + at("rabbitmq.conf"), "RABBITMQ_ENABLED_PLUGINS_FILE=" + at("enabled_plugins"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + at("none.config"), "RABBITMQ_CONF_ENV_FILE=" + at("none.sh"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
		"ERL_EPMD_PORT=" + strconv.Itoa(b.mapping), "ERL_EPMD_ADDRESS=127.0.0.1",
	}
}
