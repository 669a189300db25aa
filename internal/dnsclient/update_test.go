package dnsclient_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
)

func aKey() dnsclient.Key {
	return dnsclient.Key{Name: keyName, Algorithm: "hmac-sha256", Secret: secret}
}

// anUpdate inserts n records of 300 bytes.
func anUpdate(n int) *dns.Msg {
	m := new(dns.Msg).SetUpdate("probe.example.")
	for i := range n {
		m.Insert([]dns.RR{dnsclient.NewTXT(fmt.Sprintf("x%d.probe.example", i), strings.Repeat("v", 300), 0)})
	}
	return m
}

// reply answers an update with code, and a signature whose error is code's too.
func reply(w dns.ResponseWriter, q *dns.Msg, code int, tsig uint16) {
	m := new(dns.Msg).SetRcode(q, code)
	m.SetTsig(keyName+".", dns.HmacSHA256, 300, time.Now().Unix())
	m.IsTsig().Error = tsig
	if tsig == dns.RcodeBadTime {
		t := m.IsTsig()
		t.OtherLen, t.OtherData = 6, fmt.Sprintf("%012x", time.Now().Add(time.Hour).Unix())
	}
	_ = w.WriteMsg(m)
}

// TestUpdate holds that an update comes signed to the server, of whatever length,
// with every algorithm.
func TestUpdate(t *testing.T) {
	type seen struct {
		records int
		network string
		tsig    error
	}
	got := make(chan seen, 1)
	server := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		got <- seen{len(q.Ns), w.RemoteAddr().Network(), w.TsigStatus()}
		m := new(dns.Msg).SetReply(q)
		m.SetTsig(keyName+".", q.IsTsig().Algorithm, 300, time.Now().Unix())
		_ = w.WriteMsg(m)
	})
	for _, algorithm := range []string{"hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"} {
		key := aKey()
		key.Algorithm, key.Name = algorithm, strings.ToUpper(keyName)
		m := anUpdate(150)
		if err := long().Update(t.Context(), server, key, m); err != nil {
			t.Fatalf("%s: %v", algorithm, err)
		}
		if s := <-got; s != (seen{150, "tcp", nil}) {
			t.Errorf("%s: the server saw %+v", algorithm, s)
		}
		if m.IsTsig() != nil {
			t.Error("the message was changed")
		}
	}
}

// TestUpdateRefused holds that a refusal is told whole: the RCODE, what was wrong
// with the signature, and by how much the clocks differ.
func TestUpdateRefused(t *testing.T) {
	for _, test := range []struct {
		rcode int
		tsig  uint16
		want  string
	}{
		{dns.RcodeRefused, 0, "REFUSED"},
		{dns.RcodeNotAuth, dns.RcodeBadKey, "NOTAUTH (BADKEY)"},
		{dns.RcodeNotAuth, dns.RcodeBadSig, "NOTAUTH (BADSIG)"},
		{dns.RcodeNotAuth, dns.RcodeBadTime, "NOTAUTH (BADTIME)"},
		{dns.RcodeNotZone, 0, "NOTZONE"},
		{13, 0, "RCODE 13"},
	} {
		server := serve(t, func(w dns.ResponseWriter, q *dns.Msg) { reply(w, q, test.rcode, test.tsig) })
		err := long().Update(t.Context(), server, aKey(), anUpdate(1))
		refusal, ok := errors.AsType[*dnsclient.UpdateError](err)
		if !ok {
			t.Errorf("%s: got %v", test.want, err)
			continue
		}
		if want := "name server " + server + ": update of zone probe.example: " + test.want; refusal.Error() != want {
			t.Errorf("got %s, want %s", refusal, want)
		}
		if ahead := refusal.Skew > 50*time.Minute && refusal.Skew <= time.Hour; ahead != (test.tsig == dns.RcodeBadTime) {
			t.Errorf("%s: skew %s", test.want, refusal.Skew)
		}
	}
}

// TestUpdateUnsigned holds that nobody without the key can say that it is done,
// but anybody that it is not.
func TestUpdateUnsigned(t *testing.T) {
	for what, answer := range map[string]dns.HandlerFunc{
		"unsigned": rcode(dns.RcodeSuccess),
		"another secret": func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.SetTsig(keyName+".", dns.HmacSHA256, 300, time.Now().Unix())
			packet, _, err := dns.TsigGenerate(m, another, q.IsTsig().MAC, false)
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(packet)
		},
		"another key's name": func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.SetTsig("other.example.", dns.HmacSHA256, 300, time.Now().Unix())
			packet, _, err := dns.TsigGenerate(m, secret, q.IsTsig().MAC, false)
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(packet)
		},
		"another update's": func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.SetTsig(keyName+".", dns.HmacSHA256, 300, time.Now().Unix())
			packet, _, err := dns.TsigGenerate(m, secret, strings.Repeat("00", 32), false)
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(packet)
		},
	} {
		err := long().Update(t.Context(), serve(t, answer), aKey(), anUpdate(1))
		if !errors.Is(err, dnsclient.ErrUnsigned) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	// Signed, and not for us.
	err := long().Update(t.Context(), serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Opcode = dns.OpcodeQuery
		m.SetTsig(keyName+".", dns.HmacSHA256, 300, time.Now().Unix())
		_ = w.WriteMsg(m)
	}), aKey(), anUpdate(1))
	if err == nil || !strings.HasSuffix(err.Error(), "it answered something else than the update") {
		t.Errorf("another answer: got %v", err)
	}
	err = long().Update(t.Context(), serve(t, rcode(dns.RcodeRefused)), aKey(), anUpdate(1))
	if refusal, ok := errors.AsType[*dnsclient.UpdateError](err); !ok || refusal.Rcode != dns.RcodeRefused {
		t.Errorf("unsigned refusal: got %v", err)
	}
}

// TestUpdateFails holds what is said where nothing came back, and that no text has
// the secret.
func TestUpdateFails(t *testing.T) {
	key := aKey()
	mute := serve(t, silent)
	err := short().Update(t.Context(), mute, key, anUpdate(1))
	if !errors.Is(err, dnsclient.ErrNoAnswer) || !strings.Contains(err.Error(), mute) {
		t.Errorf("silent: got %v", err)
	}
	key.Secret = "not base64!"
	err = short().Update(t.Context(), mute, key, anUpdate(1))
	if err == nil || !strings.Contains(err.Error(), "not base64") || strings.Contains(err.Error(), key.Secret) {
		t.Errorf("bad secret: got %v", err)
	}
	key = aKey()
	key.Algorithm = "hmac-sha3"
	if err = short().Update(t.Context(), mute, key, anUpdate(1)); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("bad algorithm: got %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(verb, key); strings.Contains(text, secret) || !strings.Contains(text, keyName) {
			t.Errorf("%s: %s", verb, text)
		}
	}
}
