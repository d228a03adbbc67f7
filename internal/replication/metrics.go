package replication

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what replication does. Each has the label link.
type metrics struct {
	published, publishedBytes         *prometheus.CounterVec
	received, receivedBytes           *prometheus.CounterVec
	applied, duplicate, held, refused *prometheus.CounterVec
	dropped                           *prometheus.CounterVec
	reconnects, beacons, requests     *prometheus.CounterVec
	answered, quarantined, diverged   *prometheus.CounterVec
	storageErrors, unsendable         *prometheus.CounterVec
	snapshots, snapshotBytes          *prometheus.CounterVec
	lag, ahead                        *prometheus.GaugeVec
	trimmed                           prometheus.Counter
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "vesper", Subsystem: "replication", Name: name, Help: help,
		}, append([]string{"link"}, labels...))
	}
	return &metrics{
		published:      counter("published_changesets_total", "Changesets the broker confirmed."),
		publishedBytes: counter("published_bytes_total", "Bytes of message bodies the broker confirmed."),
		received:       counter("received_messages_total", "Messages of changesets received."),
		receivedBytes:  counter("received_bytes_total", "Bytes of message bodies received."),
		applied:        counter("applied_changesets_total", "Changesets applied for the first time."),
		duplicate:      counter("duplicate_changesets_total", "Changesets received that were applied or pending already."),
		held:           counter("pending_changesets_total", "Changesets received that had to wait for a missing one."),
		dropped:        counter("dropped_changesets_total", "Changesets received that had to wait, for which there was no room; they are fetched again."),
		refused:        counter("rejected_changesets_total", "Changesets that cannot be applied."),
		reconnects:     counter("reconnects_total", "Times the link came up again after it was lost."),
		beacons:        counter("beacons_total", "Beacons sent and heard.", "direction"),
		requests:       counter("requests_total", "Requests to peers for missing changesets, by how they ended.", "outcome"),
		answered:       counter("answered_changesets_total", "Changesets sent to peers that asked for them."),
		quarantined:    counter("quarantined_total", "Messages and changesets put into quarantine, by cause.", "cause"),
		diverged:       counter("diverged_total", "Times a peer with the same revision had another digest."),
		storageErrors:  counter("storage_errors_total", "Attempts to apply changesets that failed in the store."),
		unsendable:     counter("unsendable_changesets_total", "Changesets passed over because the link can never carry them."),
		snapshots:      counter("snapshots_total", "Snapshots fetched from peers, by how that ended.", "outcome"),
		snapshotBytes:  counter("snapshot_bytes_total", "Bytes of snapshots sent to peers and received from them.", "direction"),
		trimmed: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "vesper", Subsystem: "replication", Name: "trimmed_changesets_total",
			Help: "Changesets that left the log, since every member has them and they were older than the retention.",
		}),
		ahead: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "vesper", Subsystem: "replication", Name: "clock_ahead_seconds",
			Help: "How far the clock of what was applied last was ahead of this node's; it is taken as it is.",
		}, []string{"link"}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "vesper", Subsystem: "replication", Name: "lag_changesets",
			Help: "Changesets that living peers have and this node lacks.",
		}, []string{"link"}),
	}
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.published, m.publishedBytes, m.received, m.receivedBytes, m.applied, m.duplicate, m.held, m.dropped, m.refused,
		m.reconnects, m.beacons, m.requests, m.answered, m.quarantined, m.diverged, m.storageErrors, m.unsendable, m.lag, m.ahead,
		m.snapshots, m.snapshotBytes, m.trimmed,
	}
}

// register puts the metrics, and gauges read from the replicator, into reg.
func (m *metrics) register(reg prometheus.Registerer, r *Replicator) error {
	var errs []error
	for _, c := range append(m.all(), outboxCollector{r}) {
		if err := reg.Register(c); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("registering replication metrics: %w", err)
	}
	return nil
}

var (
	outboxDesc = prometheus.NewDesc("vesper_replication_outbox_changesets",
		"Changesets written here that the broker has not confirmed.", []string{"link"}, nil)
	pendingDesc = prometheus.NewDesc("vesper_replication_pending_changesets",
		"Changesets that wait in the store for a missing one.", nil, nil)
	peersDesc = prometheus.NewDesc("vesper_replication_peers",
		"Peers heard lately.", []string{"link"}, nil)
	heldBackDesc = prometheus.NewDesc("vesper_replication_held_back_changesets",
		"Changesets of this node that the member furthest behind lacks; they cannot leave the log. 0 without a retention.", nil, nil)
	divergedDesc = prometheus.NewDesc("vesper_replication_diverged_peers",
		"Peers that hold another state at the same revision.", []string{"link"}, nil)
	earlyDesc = prometheus.NewDesc("vesper_replication_early_messages",
		"Messages of the original's form that came before what they build on, and are kept until it comes.", []string{"link"}, nil)
	partsDesc = prometheus.NewDesc("vesper_replication_dropped_parts_total",
		"Messages in parts that were given up because some of their parts did not come.", []string{"link"}, nil)
	upDesc = prometheus.NewDesc("vesper_replication_link_up",
		"1 while the link is connected and subscribed.", []string{"link"}, nil)
)

// outboxCollector reads gauges from the replicator when they are asked for.
type outboxCollector struct{ r *Replicator }

// Describe implements prometheus.Collector.
func (c outboxCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{outboxDesc, pendingDesc, peersDesc, upDesc, heldBackDesc, divergedDesc, earlyDesc, partsDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c outboxCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	pending, _ := c.r.store.Pending()
	gauge(pendingDesc, float64(pending))
	gauge(heldBackDesc, float64(c.r.keeper.heldBack()))
	for _, l := range c.r.links {
		gauge(divergedDesc, float64(len(l.drill.status())), l.cfg.Name)
		n, _ := c.r.store.Outbox(l.cfg.Name)
		gauge(outboxDesc, float64(n), l.cfg.Name)
		if early, _ := l.early(); l.ordered() != nil {
			gauge(earlyDesc, float64(early), l.cfg.Name)
		}
		if t, ok := l.cfg.Transport.(PartsDropper); ok {
			out <- prometheus.MustNewConstMetric(partsDesc, prometheus.CounterValue, float64(t.DroppedParts()), l.cfg.Name)
		}
		up, peers := l.vitals()
		gauge(upDesc, up, l.cfg.Name)
		gauge(peersDesc, float64(peers), l.cfg.Name)
	}
}
