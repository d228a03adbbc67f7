package nodeconfig

// key is one key of the file or of an item of its links: either a value of T or
// a section of keys. These tables are the file format: Load, Render, the
// unknown-key errors and the nearest-name hints all follow them.
type key[T any] struct {
	name string
	// alias is the spelling of the original's program, with the same meaning.
	alias string
	// value points into a T whose sections all exist. The pointer's type
	// is the key's type. Nil for a section.
	value func(*T) any
	// always is true for keys that Render writes even at their default.
	always  bool
	section []key[T]
	// has reports whether an optional section is there; nil: always.
	has func(*T) bool
	// enter makes an optional section.
	enter func(*T)
}

var fileKeys = []key[Config]{
	{name: "branchId", alias: "branch_id", always: true, value: func(c *Config) any { return &c.BranchID }},
	{name: "trunkId", alias: "trunk_id", always: true, value: func(c *Config) any { return &c.TrunkID }},
	{name: "saveHistory", alias: "save_history", always: true, value: func(c *Config) any { return &c.SaveHistory }},
	{name: "storage_path", always: true, value: func(c *Config) any { return &c.StoragePath }},
	{name: "listen", always: true, value: func(c *Config) any { return &c.Listen }},
	{name: "replication_hosts", value: func(c *Config) any { return &c.ReplicationHosts }},
	{name: "replication_channel", value: func(c *Config) any { return &c.ReplicationChannel }},
	{name: "send_stomp_ack", value: func(c *Config) any { return &c.SendSTOMPAck }},
	{name: "wire", value: func(c *Config) any { return &c.Wire }},
	{name: "model_uri", value: func(c *Config) any { return &c.ModelURI }},
	{name: "links", value: func(c *Config) any { return &c.Links }},
	{name: "broker", section: []key[Config]{
		{name: "flavor", value: func(c *Config) any { return &c.Broker.Flavor }},
		{name: "usernameFile", value: func(c *Config) any { return &c.Broker.UsernameFile }},
		{name: "passwordFile", value: func(c *Config) any { return &c.Broker.PasswordFile }},
		{name: "heartBeat", value: func(c *Config) any { return &c.Broker.HeartBeat }},
		{name: "maxMessage", value: func(c *Config) any { return &c.Broker.MaxMessage }},
		{name: "virtualHost", value: func(c *Config) any { return &c.Broker.VirtualHost }},
		{name: "tls", section: []key[Config]{
			{name: "caFile", value: func(c *Config) any { return &c.Broker.TLS.CAFile }},
			{name: "certFile", value: func(c *Config) any { return &c.Broker.TLS.CertFile }},
			{name: "keyFile", value: func(c *Config) any { return &c.Broker.TLS.KeyFile }},
			{name: "serverName", value: func(c *Config) any { return &c.Broker.TLS.ServerName }},
		}, has: func(c *Config) bool { return c.Broker.TLS != nil }, enter: func(c *Config) { c.Broker.enterTLS() }},
	}},
	{name: "conflictPolicy", value: func(c *Config) any { return &c.ConflictPolicy }},
	{name: "retention", value: func(c *Config) any { return &c.Retention }},
	{name: "membersFile", value: func(c *Config) any { return &c.MembersFile }},
	{name: "volumeIdentity", value: func(c *Config) any { return &c.VolumeIdentity }},
	{name: "compaction", section: []key[Config]{
		{name: "threshold", value: func(c *Config) any { return &c.Compaction.Threshold }},
		{name: "minFree", value: func(c *Config) any { return &c.Compaction.MinFree }},
		{name: "rate", value: func(c *Config) any { return &c.Compaction.Rate }},
	}},
	{name: "indexes", value: func(c *Config) any { return &c.Indexes }},
	{name: "beacon", section: []key[Config]{
		{name: "interval", value: func(c *Config) any { return &c.Beacon.Interval }},
		{name: "window", value: func(c *Config) any { return &c.Beacon.Window }},
	}},
	{name: "limits", section: []key[Config]{
		{name: "requestBytes", value: func(c *Config) any { return &c.Limits.RequestBytes }},
		{name: "queryRows", value: func(c *Config) any { return &c.Limits.QueryRows }},
		{name: "queryTime", value: func(c *Config) any { return &c.Limits.QueryTime }},
		{name: "connections", value: func(c *Config) any { return &c.Limits.Connections }},
	}},
	{name: "access", section: []key[Config]{
		{name: "anonymous", value: func(c *Config) any { return &c.Access.Anonymous }},
		{name: "openMetrics", value: func(c *Config) any { return &c.Access.OpenMetrics }},
		{name: "tokens", value: func(c *Config) any { return &c.Access.Tokens }},
	}},
	{name: "tls", section: []key[Config]{
		{name: "certFile", value: func(c *Config) any { return &c.TLS.CertFile }},
		{name: "keyFile", value: func(c *Config) any { return &c.TLS.KeyFile }},
		{name: "clientCAFile", value: func(c *Config) any { return &c.TLS.ClientCAFile }},
	}, has: func(c *Config) bool { return c.TLS != nil }, enter: (*Config).enterTLS},
	{name: "audit", section: []key[Config]{
		{name: "to", value: func(c *Config) any { return &c.Audit.To }},
		{name: "maxBytes", value: func(c *Config) any { return &c.Audit.MaxBytes }},
		{name: "keep", value: func(c *Config) any { return &c.Audit.Keep }},
	}},
	{name: "shutdownGrace", value: func(c *Config) any { return &c.ShutdownGrace }},
	{name: "log", section: []key[Config]{
		{name: "level", value: func(c *Config) any { return &c.Log.Level }},
		{name: "format", value: func(c *Config) any { return &c.Log.Format }},
	}},
}

// linkKeys are the keys of an item of links.
var linkKeys = []key[Link]{
	{name: "name", always: true, value: func(l *Link) any { return &l.Name }},
	{name: "hosts", always: true, value: func(l *Link) any { return &l.Hosts }},
	{name: "channel", always: true, value: func(l *Link) any { return &l.Channel }},
	{name: "send_stomp_ack", value: func(l *Link) any { return &l.SendSTOMPAck }},
	{name: "wire", value: func(l *Link) any { return &l.Wire }},
	{name: "relay", value: func(l *Link) any { return &l.Relay }},
	{name: "flavor", value: func(l *Link) any { return &l.Broker.Flavor }},
	{name: "usernameFile", value: func(l *Link) any { return &l.Broker.UsernameFile }},
	{name: "passwordFile", value: func(l *Link) any { return &l.Broker.PasswordFile }},
	{name: "heartBeat", value: func(l *Link) any { return &l.Broker.HeartBeat }},
	{name: "maxMessage", value: func(l *Link) any { return &l.Broker.MaxMessage }},
	{name: "virtualHost", value: func(l *Link) any { return &l.Broker.VirtualHost }},
	{name: "tls", section: []key[Link]{
		{name: "caFile", value: func(l *Link) any { return &l.Broker.TLS.CAFile }},
		{name: "certFile", value: func(l *Link) any { return &l.Broker.TLS.CertFile }},
		{name: "keyFile", value: func(l *Link) any { return &l.Broker.TLS.KeyFile }},
		{name: "serverName", value: func(l *Link) any { return &l.Broker.TLS.ServerName }},
	}, has: func(l *Link) bool { return l.Broker.TLS != nil }, enter: func(l *Link) { l.Broker.enterTLS() }},
}

func (b *Broker) enterTLS() {
	if b.TLS == nil {
		b.TLS = &TLS{}
	}
}

// What to do about keys of the original that have no place here.
const (
	noTemplate   = "load the objects through the HTTP API once the node runs"
	oneStorage   = "remove it: there is one kind of storage, and how JSON is read is not configured"
	oneStore     = "run one node for each store"
	alwaysLocked = "remove it: the store is always locked"
	noPages      = "remove it: a node serves data, and no files or pages"
	noCode       = "remove it: a node runs no code of others"
)

// remedies say what to do about keys that the original or a hurried hand would
// write and that are spelled or done otherwise here.
var remedies = map[string]string{
	"port":                     `write listen: ":8000"`,
	"storage_url":              "write storage_path: and the directory of the store",
	"storage_template":         noTemplate,
	"storage_template_path":    noTemplate,
	"storage_template_options": noTemplate,
	"model_options":            oneStorage,
	"version_model_factory":    oneStorage,
	"version_storage_path":     "remove it: history is kept in the same store",
	"stores":                   oneStore,
	"storeDefaults":            oneStore,
	"default_store":            oneStore,
	"transaction_log":          "remove it: the history holds every transaction",
	"use_file_lock":            alwaysLocked,
	"file_lock_path":           alwaysLocked,
	"exec_cmd_and_exit":        "remove it, and run a command of vesper-node",
	"logconfig":                "write log: {level: info, format: json}",
	"static_path":              noPages,
	"template_path":            noPages,
	"default_page_name":        noPages,
	"secure_file_access":       noPages,
	"mako_module_dir":          noPages,
	"work_dir":                 noPages,
	"actions":                  noCode,
	"wsgi_middleware":          noCode,
	"httpserver":               noCode,
	"use_etags":                "remove it: objects always have ETags",
	"default_expires_in":       "remove it: what a node answers may be out of date at once",
	"broker.host":              "write replication_hosts: [host:port] at the top",
	"broker.hosts":             "write replication_hosts: [host:port] at the top",
	"broker.password":          "put the password into a file and name it in broker.passwordFile",
	"broker.passcode":          "put the password into a file and name it in broker.passwordFile",
	"broker.username":          "put the user name into a file and name it in broker.usernameFile",
	"broker.login":             "put the user name into a file and name it in broker.usernameFile",
	"access.token":             "put the token into a file and name it in access.tokens: [{name: app, role: write, file: FILE}]",
	"password":                 "put the password into a file and name it in broker.passwordFile",
	"username":                 "put the user name into a file and name it in broker.usernameFile",
	"broker.tls.enabled":       "remove it: a tls section turns TLS on",
	"broker.tls.caCert":        "put the certificates into a file and name it in broker.tls.caFile",
	"broker.tls.insecure":      "name the certificates to trust in broker.tls.caFile",
	"broker.tls.skipVerify":    "name the certificates to trust in broker.tls.caFile",
}
