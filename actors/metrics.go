package actors

// Metrics makes instruments. Names follow Prometheus: rivven_<subsystem>_<what>_<unit>[_total]. Labels alternate
// key and value and are fixed per instrument; making the same instrument twice returns the same one, so actors may
// make theirs at every start. Labels must be bounded: never a message's content. Safe for concurrent use.
type Metrics interface {
	Counter(name, help string, labels ...string) Counter
	Gauge(name, help string, labels ...string) Gauge
	// Histogram takes the upper bounds of its buckets, ascending.
	Histogram(name, help string, buckets []float64, labels ...string) Histogram
}

// Counter only goes up.
type Counter interface{ Add(n uint64) }

// Gauge is set to the value now.
type Gauge interface{ Set(v float64) }

// Histogram counts observations by bucket.
type Histogram interface{ Observe(v float64) }

// NoMetrics discards everything.
var NoMetrics Metrics = noMetrics{}

type noMetrics struct{}

func (noMetrics) Counter(string, string, ...string) Counter                { return nothing{} }
func (noMetrics) Gauge(string, string, ...string) Gauge                    { return nothing{} }
func (noMetrics) Histogram(string, string, []float64, ...string) Histogram { return nothing{} }

type nothing struct{}

func (nothing) Add(uint64)      {}
func (nothing) Set(float64)     {}
func (nothing) Observe(float64) {}
