package prober

import (
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// look does one look of the follow-up, and returns the follow-up as it is stored then.
func (p *publisher) look(f probe.FollowUp) (probe.Facts, probe.FollowUp) {
	p.t.Helper()
	noted := len(p.bench.noted)
	facts := p.watch(f)
	if len(p.bench.noted) > noted {
		f.Revocation = &p.bench.noted[noted]
	}
	return facts, f
}

// long is a list of many certificates, and of these.
func (p *publisher) long(thisUpdate time.Time, serials ...int64) []byte {
	for s := range int64(5000) {
		serials = append(serials, 1000+s)
	}
	return p.list(func(l *x509.RevocationList) { l.ThisUpdate = thisUpdate }, serials...)
}

// wantTraffic checks what was sent since the last time: that many lists of that length,
// and how many requests asked for another version.
func (p *publisher) wantTraffic(what string, lists, length, conditional int) {
	p.t.Helper()
	if sent, asked := p.traffic(); sent != lists*length || asked != conditional {
		p.t.Errorf("%s: %d bytes and %d conditional requests, want %d and %d", what, sent, asked, lists*length, conditional)
	}
}

// TestWatchRevocationConditional holds that a list is sent only when it is another one,
// where its server tells versions apart, and that what is measured is the same.
func TestWatchRevocationConditional(t *testing.T) {
	old := time.Now().Add(-2 * time.Hour)
	for _, tt := range []struct {
		name         string
		first, other page // etag and changed
		conditional  bool
	}{
		{"entity tags", page{etag: `"1"`}, page{etag: `W/"2"`}, true},
		{"times", page{changed: old}, page{changed: old.Add(time.Hour)}, true},
		{"both", page{etag: `"1"`, changed: old}, page{etag: `"2"`, changed: old}, true},
		{"neither", page{}, page{}, false},
		// Another one may come in the same second.
		{"too young to tell", page{changed: time.Now().Add(time.Hour)}, page{changed: time.Now().Add(time.Hour)}, false},
		{"no entity tag", page{etag: "1"}, page{etag: "2"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPublisher(t)
			f := p.watched(probe.ViaCRL, time.Hour, nil)
			publish := func(v page, list []byte) {
				v.contentType, v.body = "application/pkix-crl", list
				p.pages["/1.crl"] = v
			}
			list := p.long(time.Now().Add(-time.Hour))
			publish(tt.first, list)
			facts, f := p.look(f)
			wantFailure(t, facts, probe.StepCRL, probe.FailurePending, "crl", "does not list")
			p.wantTraffic("the first look", 1, len(list), 0)

			for i := range 3 {
				before := f.Revocation.Absent
				facts, f = p.look(f)
				wantFailure(t, facts, probe.StepCRL, probe.FailurePending, "crl", "does not list")
				if crl := facts.CRLs[0]; crl.Unchanged != tt.conditional || !crl.NextUpdate.After(time.Now()) {
					t.Errorf("list %+v", crl)
				}
				if !f.Revocation.Absent.After(before) || facts.Revocation.Lists != nil {
					t.Errorf("look %d: it was last seen to be absent at %s, after %s; facts %+v", i+2, f.Revocation.Absent, before, facts.Revocation)
				}
			}
			if tt.conditional {
				p.wantTraffic("no other list", 0, len(list), 3)
			} else {
				p.wantTraffic("no other list", 3, len(list), 0)
			}

			list = p.long(time.Now(), 7)
			publish(tt.other, list)
			facts, _ = p.look(f)
			wantSuccess(t, facts)
			if took := facts.Revocation.Propagation; took == nil || *took < time.Hour || *took > time.Hour+time.Minute {
				t.Errorf("propagation %v", took)
			}
			sent, _ := p.traffic()
			if sent != len(list) {
				t.Errorf("the other list: %d bytes, want %d", sent, len(list))
			}
		})
	}
}

// TestWatchRevocationUntrue holds that a server that says for ever that there is no
// newer list does not hide one, and is not believed again; and that nothing is measured
// of a time that it may have hidden.
func TestWatchRevocationUntrue(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name     string
		ago      time.Duration           // of the revocation
		read     func(l *probe.ReadList) // what has become of the list
		asked    bool                    // it is read all the same
		measured bool                    // else nothing is
	}{
		{"a moment ago", time.Hour, func(*probe.ReadList) {}, false, false},
		{"14 min ago, an hour after", time.Hour, func(l *probe.ReadList) { l.At = now.Add(-14 * time.Minute) }, false, false},
		{"16 min ago, an hour after", time.Hour, func(l *probe.ReadList) { l.At = now.Add(-16 * time.Minute) }, true, true},
		{"11 min ago, soon after", 15 * time.Minute, func(l *probe.ReadList) { l.At = now.Add(-11 * time.Minute) }, true, true},
		{"59 min ago, long after", 20 * time.Hour, func(l *probe.ReadList) { l.At = now.Add(-59 * time.Minute) }, false, false},
		{"61 min ago, long after", 20 * time.Hour, func(l *probe.ReadList) { l.At = now.Add(-61 * time.Minute) }, true, false},
		{"past its nextUpdate", time.Hour, func(l *probe.ReadList) { l.NextUpdate = now.Add(-time.Second) }, true, true},
		{"after a day", 24 * time.Hour, func(*probe.ReadList) {}, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPublisher(t)
			f := p.watched(probe.ViaCRL, tt.ago, nil)
			if tt.ago == 24*time.Hour {
				f.Revocation.At = f.Revocation.At.Add(time.Minute) // the first look is before it is over
			}
			p.pages["/1.crl"] = page{contentType: "application/pkix-crl", body: p.long(now.Add(-time.Hour)), etag: `"1"`, stuck: true}
			_, f = p.look(f)
			if len(f.Revocation.Lists) != 1 || f.Revocation.Lists[0].ETag != `"1"` {
				t.Fatalf("lists %+v", f.Revocation.Lists)
			}
			tt.read(&f.Revocation.Lists[0])
			if tt.ago == 24*time.Hour {
				f.Revocation.At = f.Revocation.At.Add(-time.Minute)
			}
			list := p.long(now, 7)
			p.pages["/1.crl"] = page{contentType: "application/pkix-crl", body: list, etag: `"2"`, stuck: true}
			p.traffic()
			facts, _ := p.look(f)
			if !tt.asked {
				wantFailure(t, facts, probe.StepCRL, probe.FailurePending, "crl", "does not list")
				p.wantTraffic("it is believed", 0, len(list), 1)
				return
			}
			wantSuccess(t, facts)
			p.wantTraffic("it is not believed", 1, len(list), 1)
			if measured := facts.Revocation.Propagation != nil; measured != tt.measured {
				t.Errorf("propagation %v, want it measured: %v", facts.Revocation.Propagation, tt.measured)
			}
		})
	}
}

// TestWatchRevocationOnceUntrue holds what follows a 304 that was not believed: where it
// was not true the list is always read from then on, where it was the server is asked
// again; and a list that cannot be read is not forgotten, while one with flaws is.
func TestWatchRevocationOnceUntrue(t *testing.T) {
	p := newPublisher(t)
	begin := time.Now().Add(-time.Hour)
	publish := func(n int, status int, body []byte) {
		p.pages["/1.crl"] = page{contentType: "application/pkix-crl", body: body, status: status, etag: fmt.Sprintf(`"%d"`, n), stuck: true}
	}
	list := p.long(begin)
	look := func(what string, f probe.FollowUp, kind probe.FailureKind, lists, conditional int) probe.FollowUp {
		t.Helper()
		facts, f := p.look(f)
		if facts.Failure == nil || facts.Failure.Kind != kind {
			t.Errorf("%s: failure %+v, want %s", what, facts.Failure, kind)
		}
		p.wantTraffic(what, lists, len(list), conditional)
		return f
	}
	// age has the list been read so long ago that nobody is believed.
	age := func(f probe.FollowUp) probe.FollowUp {
		v := *f.Revocation
		v.Lists = []probe.ReadList{v.Lists[0]}
		v.Lists[0].At = v.Lists[0].At.Add(-20 * time.Minute)
		f.Revocation = &v
		return f
	}
	publish(1, 0, list)
	f := look("at first", p.watched(probe.ViaCRL, time.Hour, nil), probe.FailurePending, 1, 0)
	f = look("it was true", age(f), probe.FailurePending, 1, 1)
	f = look("and is believed", f, probe.FailurePending, 0, 1)

	p.pages["/1.crl"] = page{status: 503}
	look("no answer", f, probe.FailureCall, 0, 1)

	list = p.long(begin.Add(time.Second))
	publish(2, 0, list)
	f = look("it was not true", age(f), probe.FailurePending, 1, 1)
	f = look("and is not believed", f, probe.FailurePending, 1, 0)
	f = look("ever", f, probe.FailurePending, 1, 0)

	f.Revocation.Lists[0].Untrue = false
	f.Revocation.Lists[0].NextUpdate = time.Now()
	broken := p.long(begin.Add(2 * time.Second))
	broken[len(broken)-1] ^= 1
	list = broken
	publish(3, 0, broken)
	f = look("a wrong signature", f, probe.FailureFlaw, 1, 1)
	if len(f.Revocation.Lists) != 0 {
		t.Errorf("a list that nobody has signed is known: %+v", f.Revocation.Lists)
	}
}
