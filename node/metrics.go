package node

import (
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hupe1980/rivven-cluster/actors"
)

// prometheusMetrics makes instruments of a Prometheus registry. The same name and labels give the same instrument, also
// across restarts of an actor.
type prometheusMetrics struct {
	registry prometheus.Registerer
	mu       sync.Mutex
	made     map[string]prometheus.Collector
}

func newMetrics(registry prometheus.Registerer) actors.Metrics {
	return &prometheusMetrics{registry: registry, made: make(map[string]prometheus.Collector)}
}

func (p *prometheusMetrics) Counter(name, help string, labels ...string) actors.Counter {
	keys, values := splitLabels(name, labels)
	vec := instrument(p, name, func() *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, keys)
	})
	return counter{vec.WithLabelValues(values...)}
}

func (p *prometheusMetrics) Gauge(name, help string, labels ...string) actors.Gauge {
	keys, values := splitLabels(name, labels)
	return instrument(p, name, func() *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, keys)
	}).WithLabelValues(values...)
}

func (p *prometheusMetrics) Histogram(name, help string, buckets []float64, labels ...string) actors.Histogram {
	keys, values := splitLabels(name, labels)
	return instrument(p, name, func() *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, keys)
	}).WithLabelValues(values...)
}

type counter struct{ prometheus.Counter }

func (c counter) Add(n uint64) { c.Counter.Add(float64(n)) }

// instrument returns the collector of that name, of ours or of another node on the same registry.
func instrument[T prometheus.Collector](p *prometheusMetrics, name string, produce func() T) T {
	p.mu.Lock()
	defer p.mu.Unlock()
	if existing, ok := p.made[name].(T); ok {
		return existing
	}
	fresh := produce()
	if err := p.registry.Register(fresh); err != nil {
		var taken prometheus.AlreadyRegisteredError
		existing, ok := fresh, false
		if errors.As(err, &taken) {
			existing, ok = taken.ExistingCollector.(T)
		}
		if !ok {
			panic(fmt.Sprintf("node: metric %s: %v", name, err))
		}
		fresh = existing
	}
	p.made[name] = fresh
	return fresh
}

func splitLabels(name string, labels []string) (keys, values []string) {
	if len(labels)%2 != 0 {
		panic(fmt.Sprintf("node: metric %s: labels %q: want key and value in turn", name, labels))
	}
	for i := 0; i < len(labels); i += 2 {
		keys, values = append(keys, labels[i]), append(values, labels[i+1])
	}
	return keys, values
}
