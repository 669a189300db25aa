package publish_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/publish"
)

// refusal returns a behaviour that answers updates with an RCODE and, if not 0, an
// error of TSIG; a server that is so many minutes ahead says so.
func refusal(rcode int, tsig uint16, ahead time.Duration) func(dns.ResponseWriter, *dns.Msg) bool {
	return func(w dns.ResponseWriter, q *dns.Msg) bool {
		if q.Opcode != dns.OpcodeUpdate {
			return false
		}
		m := new(dns.Msg).SetRcode(q, rcode)
		if tsig != 0 {
			m.SetTsig(keyName+".", dns.HmacSHA256, 300, time.Now().Unix())
			t := m.IsTsig()
			if t.Error = tsig; ahead != 0 {
				t.OtherLen, t.OtherData = 6, fmt.Sprintf("%012x", time.Now().Add(ahead).Unix())
			}
		}
		_ = w.WriteMsg(m)
		return true
	}
}

// TestRefused holds the kind, the detail and the advice for each way in which a
// server does not make an update.
func TestRefused(t *testing.T) {
	for _, test := range []struct {
		name           string
		behave         func(dns.ResponseWriter, *dns.Msg) bool
		kind           probe.FailureKind
		unwritten      bool
		detail, advice string // SERVER stands for its address
	}{
		{
			"BADKEY", refusal(dns.RcodeNotAuth, dns.RcodeBadKey, 0), probe.FailureClient, true,
			"name server SERVER: update of zone probe.test: NOTAUTH (BADKEY)",
			"the server knows no key probe-key with the algorithm hmac-sha256: configure it there, or correct tsig.key_name and tsig.algorithm (Knot says the same where its acl does not let the key update)",
		},
		{
			"BADSIG", refusal(dns.RcodeNotAuth, dns.RcodeBadSig, 0), probe.FailureClient, true,
			"name server SERVER: update of zone probe.test: NOTAUTH (BADSIG)",
			"the server has another secret for key probe-key: write the one that it has into tsig.secret or tsig.secret_file",
		},
		{
			"BADTIME without a time", refusal(dns.RcodeNotAuth, dns.RcodeBadTime, 0), probe.FailureClient, true,
			"name server SERVER: update of zone probe.test: NOTAUTH (BADTIME)",
			"the clocks differ by more than 5 minutes: set the server's or this machine's",
		},
		{
			"BADTRUNC", refusal(dns.RcodeNotAuth, dns.RcodeBadTrunc, 0), probe.FailureClient, true,
			"name server SERVER: update of zone probe.test: NOTAUTH (BADTRUNC)",
			"see how the server wants to be spoken to with key probe-key",
		},
		{
			"REFUSED", refusal(dns.RcodeRefused, 0, 0), probe.FailureClient, true,
			"name server SERVER: update of zone probe.test: REFUSED",
			"the server does not let key probe-key update TXT records in zone probe.test: allow it there",
		},
		{
			"NOTAUTH", refusal(dns.RcodeNotAuth, 0, 0), probe.FailureClient, true,
			"name server SERVER: update of zone probe.test: NOTAUTH",
			"the server is not the primary of zone probe.test: correct the zone, or set server to the one that its SOA record names",
		},
		{
			"NOTZONE", refusal(dns.RcodeNotZone, 0, 0), probe.FailureClient, true,
			"name server SERVER: update of zone probe.test: NOTZONE",
			"the server is not the primary of zone probe.test: correct the zone, or set server to the one that its SOA record names",
		},
		{
			"NOTIMP", refusal(dns.RcodeNotImplemented, 0, 0), probe.FailureClient, true,
			"name server SERVER: update of zone probe.test: NOTIMP",
			"the server does not understand dynamic updates (RFC 2136): switch them on there, or use another one",
		},
		{
			"YXDOMAIN", refusal(dns.RcodeYXDomain, 0, 0), probe.FailureClient, false,
			"name server SERVER: update of zone probe.test: YXDOMAIN",
			"look into the server's log for why it did not make the update",
		},
		{
			"SERVFAIL", refusal(dns.RcodeServerFailure, 0, 0), probe.FailureLocal, false,
			"name server SERVER: update of zone probe.test: SERVFAIL",
			"look into the server's log: it may not be able to write the zone's files or journal",
		},
		{
			"unsigned", refusal(dns.RcodeSuccess, 0, 0), probe.FailureClient, false,
			"update of zone probe.test: name server SERVER: its answer is not signed with the key",
			"see that the server has key probe-key with the same secret, and that nobody answers in its place",
		},
		{
			"silent", func(_ dns.ResponseWriter, q *dns.Msg) bool { return q.Opcode == dns.OpcodeUpdate }, probe.FailureLocal, false,
			"update of zone probe.test: name server SERVER: no answer",
			"see that this machine reaches the server over TCP, and that it is at work",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			primary := w.serving("probe.test", 1)[0]
			primary.does(test.behave)
			r := w.updates(primary)
			timeout := bound
			if test.name == "silent" {
				timeout = bound / 100
			}
			publisher := publish.New(r, w.client(timeout))
			want := probe.PublicationError{Kind: test.kind, Detail: strings.ReplaceAll(test.detail, "SERVER", r.DNSUpdates[0].Server), Advice: test.advice, Unwritten: test.unwritten}
			for what, err := range map[string]error{
				"Publish": publisher.Publish(t.Context(), records()), "Withdraw": publisher.Withdraw(t.Context(), records()),
			} {
				if got := failure(t, err); *got != want {
					t.Errorf("%s: got %+v\nwant %+v", what, *got, want)
				}
			}
		})
	}
}

// TestRefusedClock holds that the clocks' difference is told, and whose is ahead.
func TestRefusedClock(t *testing.T) {
	for ahead, want := range map[time.Duration]string{time.Hour: "ahead of", -time.Hour: "behind"} {
		w := newWorld(t)
		primary := w.serving("probe.test", 1)[0]
		primary.does(refusal(dns.RcodeNotAuth, dns.RcodeBadTime, ahead))
		p := failure(t, w.publisher(w.updates(primary)).Publish(t.Context(), records()))
		// The server says it in whole seconds.
		if !strings.HasPrefix(p.Advice, "the clocks differ: the server's is ") || !strings.Contains(p.Advice, want+" this machine's; set the one that is wrong") {
			t.Errorf("got %q", p.Advice)
		}
	}
}

// TestRefusedSecret holds that a wrong secret is told from an unknown key by a
// server that checks, that a file is read each time, and what is said without it.
func TestRefusedSecret(t *testing.T) {
	w := newWorld(t)
	primary := w.serving("probe.test", 1)[0]
	r := w.updates(primary)
	key := r.DNSUpdates[0].TSIG
	key.Secret, key.SecretFile = "", filepath.Join(t.TempDir(), "secret")
	publisher := w.publisher(r)
	p := failure(t, publisher.Publish(t.Context(), records()))
	if p.Kind != probe.FailureClient || !strings.HasPrefix(p.Detail, "the secret of key probe-key, for zone probe.test, cannot be had: ") {
		t.Errorf("without a file: %+v", p)
	}
	if err := os.WriteFile(key.SecretFile, []byte("d3Jvbmc=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p = failure(t, publisher.Publish(t.Context(), records())); p.Kind != probe.FailureClient || !strings.Contains(p.Detail, "NOTAUTH") {
		t.Errorf("with a wrong secret: %+v", p)
	}
	if _, updates := primary.counts(); updates > 0 {
		t.Error("the server took an update with a wrong secret: the test shows nothing")
	}
	if err := os.WriteFile(key.SecretFile, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := publisher.Publish(t.Context(), records()); err != nil {
		t.Errorf("with the secret: %v", err)
	}
}
