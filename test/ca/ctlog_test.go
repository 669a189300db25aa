package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// listedLog is what the test reads of a log's entry.
type listedLog struct {
	Description, Key, URL     string
	ID                        string                                `json:"log_id"`
	SubmissionURL, Monitoring string                                `json:"-"`
	State                     map[string]struct{ Timestamp string } `json:"state"`
}

// readList reads the list of logs at path.
func readList(t *testing.T, path string) (operators []struct {
	Name  string
	Logs  []listedLog
	Tiled []listedLog `json:"tiled_logs"`
}, published time.Time) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	var list struct {
		Timestamp time.Time `json:"log_list_timestamp"`
		Operators json.RawMessage
	}
	must(t, json.Unmarshal(text, &list))
	must(t, json.Unmarshal(list.Operators, &operators))
	return operators, list.Timestamp
}

// TestLogList holds what the list says, against its schema's names.
func TestLogList(t *testing.T) {
	t.Parallel()
	list := filepath.Join(t.TempDir(), "log_list.json")
	startSigner(t, func(o *signingOptions) { o.list, o.listAge = list, 71*24*time.Hour })
	operators, published := readList(t, list)
	if age := time.Since(published); age < 71*24*time.Hour || age > 72*24*time.Hour {
		t.Errorf("the list is %s old", age)
	}
	var got []string
	for _, o := range operators {
		for _, l := range o.Logs {
			got = append(got, fmt.Sprint(o.Name, " ", l.Description, " ", l.URL, " ", len(l.State["usable"].Timestamp) > 0))
		}
		for _, l := range o.Tiled {
			got = append(got, fmt.Sprint(o.Name, " ", l.Description, " tiled ", l.URL, " ", len(l.State["usable"].Timestamp) > 0))
		}
	}
	want := []string{
		"Operator A Alder 2026 https://alder-2026.invalid/ true",
		"Operator A Aspen 2026 https://aspen-2026.invalid/ true",
		"Operator B Birch 2026 tiled  true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	text, err := os.ReadFile(list)
	must(t, err)
	for _, part := range []string{
		`"submission_url": "https://birch-2026.invalid/"`, `"monitoring_url": "https://tiles.birch-2026.invalid/"`,
		`"mmd": 86400`, `"start_inclusive": "20`, `"end_exclusive": "20`,
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the list has no %s", part)
		}
	}
}

// ctLogFile writes the list of logs as openssl wants it.
func ctLogFile(t *testing.T, list string) string {
	t.Helper()
	operators, _ := readList(t, list)
	var names []string
	var sections strings.Builder
	for _, o := range operators {
		for _, l := range slices.Concat(o.Logs, o.Tiled) {
			name := fmt.Sprintf("log%d", len(names))
			names = append(names, name)
			fmt.Fprintf(&sections, "[%s]\ndescription = %s\nkey = %s\n", name, l.Description, l.Key)
		}
	}
	return write(t, []byte("enabled_logs = "+strings.Join(names, ",")+"\n"+sections.String()))
}

// TestSCTs holds what openssl makes of a certificate's SCTs when a server shows
// it, with each defect.
func TestSCTs(t *testing.T) {
	t.Parallel()
	list := filepath.Join(t.TempDir(), "log_list.json")
	s := startSigner(t, func(o *signingOptions) { o.list = list })
	logs, roots := ctLogFile(t, list), file(t, s.root.certificate)
	for defect, want := range map[string][]string{
		"":              {"Alder 2026 valid", "Birch 2026 valid"},
		sctNone:         nil,
		sctOne:          {"Alder 2026 valid"},
		sctSameOperator: {"Alder 2026 valid", "Aspen 2026 valid"},
		sctUnknownLog:   {" unknown log", "Alder 2026 valid"},
		sctOther:        {"Alder 2026 valid", "Birch 2026 invalid"},
		sctSignature:    {"Alder 2026 valid", "Birch 2026 invalid"},
		sctFuture:       {"Alder 2026 valid", "Birch 2026 invalid"},
	} {
		if s.with(t); defect != "" {
			s.with(t, defect)
		}
		certificate, _, key := s.leaf(t)
		address := showTLS(t, tls.Certificate{Certificate: [][]byte{certificate.Raw, s.issuer.certificate.Raw}, PrivateKey: key})
		out, _ := openssl(t, "s_client", "-connect", address, "-servername", "a.example", "-verify_hostname", "a.example",
			"-CAfile", roots, "-verify_return_error", "-ct", "-ctlogfile", logs)
		if !strings.Contains(out, "Verify return code: 0 (ok)") {
			t.Errorf("%q: openssl does not trust the certificate\n%s", defect, out)
		}
		if got := sctStates(out); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q\n%s", defect, got, want, out)
		}
	}
}

// sctStates reads the log's name and the state of each SCT from what openssl
// says.
func sctStates(out string) (states []string) {
	_, out, _ = strings.Cut(out, "SCTs present")
	for _, part := range strings.Split(out, "SCT validation status")[1:] {
		var name, state string
		for line := range strings.Lines("SCT validation status" + part) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			switch strings.TrimSpace(key) {
			case "Log":
				name = strings.TrimSpace(value)
			case "SCT validation status":
				state = strings.TrimSpace(value)
			}
		}
		states = append(states, name+" "+state)
	}
	slices.Sort(states) // openssl sorts them by its own lights
	return states
}

// showTLS serves a certificate, to handshakes only.
func showTLS(t *testing.T, certificate tls.Certificate) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func(conn net.Conn) {
				_ = conn.(*tls.Conn).Handshake()  // openssl ends it
				_, _ = conn.Read(make([]byte, 1)) // until openssl has what it wants
				_ = conn.Close()
			}(conn)
		}
	}()
	return listener.Addr().String()
}

// TestLeafIndex holds that the SCTs of a tiled log, and no others, say where their
// entries are.
func TestLeafIndex(t *testing.T) {
	t.Parallel()
	plain, err := newCTLog("plain", "a", false)
	must(t, err)
	tiled, err := newCTLog("tiled", "b", true)
	must(t, err)
	tiled.size = 1<<32 + 2
	if got := plain.extensions(); len(got) != 0 {
		t.Errorf("an RFC 6962 log: %x", got)
	}
	for _, want := range []string{"AAAFAQAAAAI=", "AAAFAQAAAAM="} {
		if got := base64.StdEncoding.EncodeToString(tiled.extensions()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestLogRefuses holds that a log wants a precertificate, and its issuer.
func TestLogRefuses(t *testing.T) {
	t.Parallel()
	s := startSigner(t, nil)
	template := &x509.Certificate{SerialNumber: newSerial(), DNSNames: []string{"a.example"}}
	certificate, err := s.issuer.sign(template, s.root.key.Public())
	must(t, err)
	if _, err := s.logs[0].add(certificate, s.issuer.certificate, time.Now()); err == nil {
		t.Error("a log has taken a certificate without poison")
	}
	precertificate, err := precertify(template, s.root.key.Public(), s.issuer)
	must(t, err)
	if _, err := s.logs[0].add(precertificate, s.stranger.certificate, time.Now()); err == nil {
		t.Error("a log has taken a precertificate of another issuer's")
	}
	if _, err := s.logs[0].add(precertificate, s.issuer.certificate, time.Now()); err != nil {
		t.Error(err)
	}
	if len(precertificate.UnhandledCriticalExtensions) != 1 {
		t.Error("the poison is not critical")
	}
}
