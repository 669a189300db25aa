package metrics

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scope says whose series a family's are: which labels every one of them
// carries, and when they go.
type scope int

const (
	ofExporter scope = iota // no labels of ours
	ofTarget                // target, environment
	ofPair                  // target, environment, module
	ofAnswer                // none: one answer of /probe
)

// labels are the names that every series of the scope carries.
func (s scope) labels() []string {
	switch s {
	case ofTarget:
		return []string{"target", "environment"}
	case ofPair:
		return []string{"target", "environment", "module"}
	default:
		return nil
	}
}

// Bounds of the classic histograms, in seconds. They are as few as tell the
// usual from the slow: an issuing pair has some twenty histograms.
var (
	requestBounds      = []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30}
	stepBounds         = []float64{.1, .25, .5, 1, 2.5, 5, 10, 20, 45, 90}
	connectionBounds   = []float64{.005, .01, .025, .05, .1, .25, 1, 3}
	runBounds          = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 20, 45, 90}
	revocationBounds   = []float64{60, 300, 900, 1800, 3600, 7200, 21600, 86400}
	firstRequestBounds = []float64{.1, .25, .5, 1, 2.5, 5, 10, 30}
)

// The shape of the native histograms. A bucket is at most 10% wider than the
// one before; a histogram that would need more than maxNativeBuckets starts
// afresh, at most once an hour, and loses resolution before that.
const (
	nativeFactor     = 1.1
	maxNativeBuckets = 100
	nativeMinReset   = time.Hour
)

// The values of Options.Histograms.
const (
	Classic = "classic" // buckets with the bounds documented
	Native  = "native"  // exponential buckets, which only the protobuf format carries
	Both    = "both"    // the scraper takes what it asks for
)

// family is one declared family, as Document shows it.
type family struct {
	name, kind, help string
	scope            scope
	labels           []string // beyond the scope's
	bounds           []float64
}

// removable is a vector of series; every kind of client_golang's is one.
type removable interface {
	DeletePartialMatch(labels prometheus.Labels) int
}

// declarer makes families and registers them. It remembers what Document and
// the removal of series need, so that neither can forget a family.
type declarer struct {
	registerer prometheus.Registerer
	histograms string
	families   []family
	removable  map[scope][]removable
	err        error // the first registration that failed
}

func newDeclarer(reg prometheus.Registerer, histograms string) *declarer {
	return &declarer{registerer: reg, histograms: histograms, removable: make(map[scope][]removable)}
}

// register registers a collector of the family of that name, and maybe of others.
func (d *declarer) register(name string, c prometheus.Collector) {
	if err := d.registerer.Register(c); err != nil && d.err == nil {
		d.err = fmt.Errorf("register %s: %w", name, err)
	}
}

// add registers a family and remembers it.
func (d *declarer) add(f family, c prometheus.Collector) {
	d.register(f.name, c)
	d.families = append(d.families, f)
	if r, ok := c.(removable); ok {
		d.removable[f.scope] = append(d.removable[f.scope], r)
	}
}

func (d *declarer) counter(s scope, name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, s.with(labels))
	d.add(family{name: name, kind: "counter", help: help, scope: s, labels: labels}, v)
	return v
}

func (d *declarer) gauge(s scope, name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, s.with(labels))
	d.add(family{name: name, kind: "gauge", help: help, scope: s, labels: labels}, v)
	return v
}

// scraped declares what a collector makes at every scrape, a gauge or a counter:
// it is not registered here, and its series go when the collector leaves them out.
func (d *declarer) scraped(s scope, kind, name, help string, labels ...string) *prometheus.Desc {
	d.families = append(d.families, family{name: name, kind: kind, help: help, scope: s, labels: labels})
	return prometheus.NewDesc(name, help, s.with(labels), nil)
}

func (d *declarer) histogram(s scope, name string, bounds []float64, help string, labels ...string) *prometheus.HistogramVec {
	o := prometheus.HistogramOpts{Name: name, Help: help}
	if d.histograms != Native {
		o.Buckets = bounds
	}
	if d.histograms != Classic {
		o.NativeHistogramBucketFactor = nativeFactor
		o.NativeHistogramMaxBucketNumber = maxNativeBuckets
		o.NativeHistogramMinResetDuration = nativeMinReset
	}
	v := prometheus.NewHistogramVec(o, s.with(labels))
	d.add(family{name: name, kind: "histogram", help: help, scope: s, labels: labels, bounds: bounds}, v)
	return v
}

// remove deletes every series of the scope that has these labels, those of
// lazily created label values too.
func (d *declarer) remove(s scope, labels prometheus.Labels) {
	for _, v := range d.removable[s] {
		v.DeletePartialMatch(labels)
	}
}

// with returns the scope's labels followed by more.
func (s scope) with(more []string) []string {
	return append(s.labels(), more...)
}
