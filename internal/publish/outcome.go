package publish

import (
	"fmt"
	"slices"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// settled reports whether asking on would change nothing: all is there, or what
// somebody would have to put there is nowhere, or there is no way to any server.
func (w *watch) settled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	witnesses := w.witnesses()
	if slices.ContainsFunc(witnesses, func(a *witness) bool { return a.state == unasked }) {
		return false
	}
	if unreachable(witnesses) {
		return true
	}
	return len(troubles(witnesses)) == 0 && (len(w.lacking()) == 0 || w.absent() != nil)
}

// outcome says what is wrong when nobody is asked any more; nil: nothing.
func (w *watch) outcome() *probe.PublicationError {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sights {
		s.hurry()
	}
	witnesses := w.witnesses()
	lacking, wrong := w.lacking(), troubles(witnesses)
	switch {
	case unreachable(witnesses):
		return trouble(w.zone, witnesses)
	case len(wrong) > 0 && (len(lacking) == 0 || slices.ContainsFunc(wrong, func(a *witness) bool { return a.state == lame })):
		return trouble(w.zone, wrong)
	case len(lacking) == 0:
		return nil
	}
	if i := w.absent(); i != nil && len(wrong) == 0 {
		return w.refuse(*i)
	}
	said := make([]string, len(lacking))
	for n, s := range lacking {
		i := s.missing()
		said[n] = fmt.Sprintf("%s lacks %s", s.witness, w.records[i].Name)
		if more := s.count() - 1; more > 0 {
			said[n] += fmt.Sprintf(" and %d more", more)
		}
		if s.instead[i] != "" {
			said[n] += " (" + s.instead[i] + ")"
		}
	}
	for _, a := range wrong {
		said = append(said, fmt.Sprintf("%s: %s", a, a.said))
	}
	return &probe.PublicationError{
		Kind:   probe.FailureTimeout,
		Detail: bounded("not every name server of " + w.zone.Name + " had the records when the time was over: " + several(said)),
		Advice: "see that the primary tells the others of changes and that they may transfer the zone; if they only take long, raise the module's timeout",
	}
}

// refuse says that a standing record is at no server, and which one it would be.
func (w *watch) refuse(i int) *probe.PublicationError {
	r := w.records[i]
	detail := fmt.Sprintf("no name server of %s has the record of %s that lets our account issue", w.zone.Name, r.Name)
	there := slices.IndexFunc(w.sights, func(s *sight) bool { return s.state == heard && s.instead[i] != "" })
	if there >= 0 {
		detail += fmt.Sprintf("; there is %s (%s)", w.sights[there].instead[i], w.sights[there].server)
	}
	return &probe.PublicationError{
		Kind: probe.FailureClient, Detail: bounded(detail),
		Advice: bounded(fmt.Sprintf("create where its DNS is the record %s. TXT %q", r.Name, r.Value)),
	}
}

// absent returns the first standing record that is at no server; nil: there is
// none.
func (w *watch) absent() *int {
	for i, r := range w.records {
		somewhere := func(s *sight) bool { return s.state == heard && s.has[i] }
		if r.Standing && !slices.ContainsFunc(w.sights, somewhere) {
			return &i
		}
	}
	return nil
}

// lacking returns those who said that they lack a record.
func (w *watch) lacking() []*sight {
	return slices.DeleteFunc(slices.Clone(w.sights), func(s *sight) bool { return s.state != heard || s.all() })
}

func (w *watch) witnesses() []*witness {
	witnesses := make([]*witness, len(w.sights))
	for i, s := range w.sights {
		witnesses[i] = s.witness
	}
	return witnesses
}

// count returns how many records are not there.
func (s *sight) count() (n int) {
	for _, has := range s.has {
		if !has {
			n++
		}
	}
	return n
}
