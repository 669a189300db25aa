package prober

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// publish is the step publication of tasks, at least one, whose records are
// elsewhere: they are where the CA will look for them, at every name server. It
// takes no more than half of the run's time that remains: the CA has the other.
func (r *run) publish(ctx context.Context, tasks []*task) error {
	names := make([]string, len(tasks))
	for i, t := range tasks {
		names[i] = t.name
	}
	return r.step(probe.StepPublication, about(names), func() error {
		half, cancel := context.WithTimeout(ctx, remaining(ctx)/2)
		defer cancel()
		err := r.parallel(len(tasks), func(_ *line, i int) error {
			return unpublished(ctx, r.locate(half, tasks[i]), tasks[i].name)
		})
		if err != nil {
			return err
		}
		records := elsewhere(tasks)
		if len(records) == 0 {
			return nil // every alias leads to our responder
		}
		written := slices.DeleteFunc(slices.Clone(records), func(r probe.Record) bool { return r.Standing })
		withdrawal := ""
		if len(written) > 0 {
			// Before they are written: then they are removed whatever becomes of us.
			if withdrawal, err = r.leave(probe.FollowUp{Kind: probe.FollowUpWithdrawRecords, Records: written}, recordLife); err != nil {
				return err
			}
		}
		err = r.Records.Publish(half, records)
		// A server that refuses us goes on refusing, and each run would leave one more
		// follow-up to be tried for a week.
		if p, ok := errors.AsType[*probe.PublicationError](err); ok && p.Unwritten && withdrawal != "" {
			r.forget(withdrawal)
		}
		return unpublished(ctx, err, about(names))
	})
}

// locate finds the name at which the CA will look for the task's record, and
// gives the record that name. One that our responder has is presented there. It
// changes nothing but t.
func (r *run) locate(ctx context.Context, t *task) error {
	record := &t.answer.Record
	located, err := r.Records.Locate(ctx, record.Name)
	if err != nil {
		return err
	}
	name := record.Name
	record.Name = located
	place, _ := r.Responders.Place(located)
	switch {
	case place == config.PlaceResponder:
		err := r.present(ctx, t)
		if f, ok := errors.AsType[*failure](err); ok {
			f.Object = "" // our own trouble, and not a name server's
		}
		return err
	case place == config.PlaceUpdate:
		return nil
	case t.standing != "":
		record.Value, record.Standing = t.standing, true
		return nil
	}
	return r.astray(name, located)
}

// astray is the failure of a record that would have to be where we write none:
// the CA looks for name at located, in no zone of ours.
func (r *run) astray(name, located string) *failure {
	if located != name {
		f := fail(probe.FailureClient, objectChallenge,
			fmt.Sprintf("%s leads to %q, in no zone that is configured", name, bounded(located)))
		f.Advice = "point its CNAME record to a name in a zone of responders.dns or responders.dns_updates, or configure the zone that it leads to"
		return f
	}
	f := fail(probe.FailureClient, objectChallenge, name+" is no CNAME record, and lies in no zone that is ours to write")
	f.Advice = fmt.Sprintf("create where its DNS is the record \"%s. CNAME %s.\"", r.aliasName(name), r.aliasTarget())
	return f
}

// aliasName returns the owner of the CNAME record that a name needs: of random
// names there is no end, so that theirs is a wildcard.
func (r *run) aliasName(name string) string {
	if _, domain := r.Responders.Place(name); domain != "" && len(r.Pair.FixedNames()) == 0 {
		return wildcardPrefix + domain
	}
	return name
}

// aliasTarget returns a name in a zone of ours that CNAME records may lead to.
func (r *run) aliasTarget() string {
	zone := ""
	switch {
	case r.Responders.DNS != nil && len(r.Responders.DNS.Zones) > 0:
		zone = r.Responders.DNS.Zones[0]
	case len(r.Responders.DNSUpdates) > 0:
		zone = r.Responders.DNSUpdates[0].Zone
	}
	return probe.ChallengeLabel + zone
}

// elsewhere returns the tasks' records that no responder of ours has, each once.
func elsewhere(tasks []*task) []probe.Record {
	var records []probe.Record
	for _, t := range tasks {
		if record := t.answer.Record; t.withdraw == nil && !slices.Contains(records, record) {
			records = append(records, record)
		}
	}
	return records
}

// unpublished returns the failure that err is or stands for: a record of the name
// is not where it has to be. nil: it is. ctx is the run's.
func unpublished(ctx context.Context, err error, name string) error {
	if err == nil {
		return nil
	}
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = fail(probe.FailureLocal, objectChallenge, quoted(err.Error()))
		if p, ok := errors.AsType[*probe.PublicationError](err); ok {
			f.Kind, f.Detail, f.Advice = p.Kind, p.Detail, p.Advice
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		f.Kind = probe.FailureCanceled
	}
	return f.of(name)
}
