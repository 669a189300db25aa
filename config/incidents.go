package config

// maxThreshold bounds each threshold of incidents: the runs that it counts are kept.
const maxThreshold = 10

// Incidents say when a pair is down, and when it is up again. Zero fields have their
// defaults; each is from 1 to 10.
type Incidents struct {
	// Failures are how many failures in a row that are the CA's, or the way's to it,
	// make a pair down; default 2. The runs after the first one start at once.
	Failures int `yaml:"failures,omitempty"`
	// Inconclusive failures among the last InconclusiveOf runs, by which nobody can
	// tell whose they are, make it down too; default 3 of 5.
	Inconclusive   int `yaml:"inconclusive,omitempty"`
	InconclusiveOf int `yaml:"inconclusive_of,omitempty"`
	// Successes in a row make it up again; default 2.
	Successes int `yaml:"successes,omitempty"`
}

// complete fills in the defaults.
func (i *Incidents) complete(ps *problems, at path) {
	for _, d := range []struct {
		key   string
		field *int
		value int
	}{
		{"failures", &i.Failures, 2}, {"inconclusive", &i.Inconclusive, 3},
		{"inconclusive_of", &i.InconclusiveOf, 5}, {"successes", &i.Successes, 2},
	} {
		if *d.field == 0 && !ps.written(at.key(d.key)) {
			*d.field = d.value
		}
	}
}

func (i *Incidents) validate(ps *problems, at path) {
	for _, f := range []struct {
		key   string
		value int
	}{{"failures", i.Failures}, {"inconclusive", i.Inconclusive}, {"inconclusive_of", i.InconclusiveOf}, {"successes", i.Successes}} {
		at := at.key(f.key)
		if f.value < 1 || f.value > maxThreshold {
			ps.add(at, "want 1 to %d, got %d", maxThreshold, f.value)
		} else if f.key == "inconclusive" && i.InconclusiveOf >= 1 && i.InconclusiveOf <= maxThreshold && i.Inconclusive > i.InconclusiveOf {
			ps.add(at, "%d of %d runs: want no more than inconclusive_of", i.Inconclusive, i.InconclusiveOf)
		}
	}
}
