package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"vesperdb.io/vesper/internal/store"
	"vesperdb.io/vesper/internal/version"
)

// metrics are the server's own counters.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	panics   prometheus.Counter

	auditFailed prometheus.Counter
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vesper_http_requests_total", Help: "HTTP requests answered, by path pattern, method and status.",
		}, []string{"path", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "vesper_http_request_duration_seconds", Help: "How long HTTP requests took.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"path", "method"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "vesper_http_requests_in_flight", Help: "HTTP requests being answered now.",
		}),
		auditFailed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "vesper_audit_failed_total", Help: "Writes and attempts that the audit log lacks because it could not be written.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "vesper_http_panics_total", Help: "HTTP requests that hit a bug and were answered with 500.",
		}),
	}
}

// register puts everything the node measures, apart from replication, into the registry.
func (s *Server) register(r *prometheus.Registry) error {
	info := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "vesper_node_info", Help: "Who the node is; always 1.",
		ConstLabels: prometheus.Labels{"version": version.Version, "branch": string(s.deps.Store.Branch())},
	}, func() float64 { return 1 })
	ready := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "vesper_node_ready", Help: "1 when the node is connected, subscribed and caught up (or standalone).",
	}, func() float64 { return boolGauge(s.status().Ready) })
	writable := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "vesper_node_writable", Help: "1 when the node takes writes.",
	}, func() float64 { return boolGauge(s.status().Writable) })
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		s.metrics.requests, s.metrics.duration, s.metrics.inFlight, s.metrics.panics, s.metrics.auditFailed,
		info, ready, writable, storeCollector{s.deps.Store},
	} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) error {
	s.metricsHandler.ServeHTTP(w, r)
	return nil
}

func metricsHandler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

// storeCollector reads the store's figures when they are asked for.
type storeCollector struct{ store *store.Store }

type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(store.Stats) float64
}

func gauge(name, help string, of func(store.Stats) float64) figure {
	return figure{prometheus.NewDesc("vesper_store_"+name, help, nil, nil), prometheus.GaugeValue, of}
}

func counter(name, help string, of func(store.Stats) float64) figure {
	return figure{prometheus.NewDesc("vesper_store_"+name, help, nil, nil), prometheus.CounterValue, of}
}

var storeFigures = []figure{
	gauge("objects", "Objects that a query can see.", func(s store.Stats) float64 { return float64(s.Objects) }),
	gauge("conflicts", "Properties that hold concurrent values.", func(s store.Stats) float64 { return float64(s.Conflicts) }),
	gauge("changesets", "Changesets applied, of all branches.", func(s store.Stats) float64 { return float64(s.Changesets) }),
	gauge("pending_changesets", "Changesets received that wait for others.", func(s store.Stats) float64 { return float64(s.PendingChangesets) }),
	gauge("pending_bytes", "Size of the changesets that wait.", func(s store.Stats) float64 { return float64(s.PendingBytes) }),
	gauge("file_bytes", "Size of the store's file.", func(s store.Stats) float64 { return float64(s.FileBytes) }),
	gauge("free_bytes", "What is left on the store's volume.", func(s store.Stats) float64 { return float64(s.FreeBytes) }),
	gauge("volume_bytes", "How large the store's volume is.", func(s store.Stats) float64 { return float64(s.VolumeBytes) }),
	counter("commits_total", "Synced transactions of the file; many writes share one.", func(s store.Stats) float64 { return float64(s.Commits) }),
	counter("writes_total", "Acknowledged local transactions that changed something.", func(s store.Stats) float64 { return float64(s.Writes) }),
}

var indexBuilt = prometheus.NewDesc("vesper_store_index_built", "1 when the declared index of a property is built and queries use it.",
	[]string{"property"}, nil)

// Describe implements prometheus.Collector.
func (c storeCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- indexBuilt
	for _, f := range storeFigures {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c storeCollector) Collect(ch chan<- prometheus.Metric) {
	stats := c.store.Stats()
	for _, f := range storeFigures {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.of(stats))
	}
	for _, i := range c.store.Indexes() {
		ch <- prometheus.MustNewConstMetric(indexBuilt, prometheus.GaugeValue, boolGauge(i.Built), i.Property)
	}
}
