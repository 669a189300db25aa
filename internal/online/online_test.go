package online_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/txtar"
	"go.uber.org/goleak"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/challenge"
	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/online"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

var update = flag.Bool("update", false, "write the golden parts of testdata anew")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// TestCheck compares configurations with worlds: each file of testdata has one of
// each, and every word that is said of them.
func TestCheck(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("glob: %v, %d files", err, len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := check(t, archive)
			golden := section(t, archive, "golden")
			if *update {
				golden.Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := gocmp.Diff(string(golden.Data), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func section(t *testing.T, archive *txtar.Archive, name string) *txtar.File {
	t.Helper()
	i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	return &archive.Files[i]
}

// check returns what is said of the archive's configuration.
func check(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	w := newWorld(t, archive.Files)
	free := freePorts(t, 3)
	ports := map[string]string{"DNSPORT": strconv.Itoa(w.port), "HTTPPORT": free[0], "TLSPORT": free[1], "OTHERPORT": free[2]}
	text := os.Expand(string(section(t, archive, "acme.yml").Data), func(key string) string { return ports[key] })
	cfg, err := config.Parse("acme.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := newSettings(t, archive, cfg, w, ports)
	var said strings.Builder
	online.Check(t.Context(), online.Options{
		Config:    cfg,
		DNS:       &dnsclient.Client{Resolvers: cfg.Resolvers, Port: uint16(w.port), Timeout: 20 * time.Second},
		Records:   s,
		Open:      s.open,
		Directory: s.directory,
		Account:   func(target string) string { return s.accounts[target] },
		HTTPPort:  number(t, ports["HTTPPORT"]),
		TLSPort:   number(t, ports["TLSPORT"]),
		Patience:  cmp.Or(s.patience, time.Minute),
	}, func(f online.Finding) {
		fmt.Fprintf(&said, "%s %s: %s\n", f.Status, f.Topic, f.Text)
		if len(f.Records) > 0 {
			fmt.Fprintf(&said, "  in %q:\n  %s\n", f.Zone, strings.Join(f.Records, "\n  "))
		}
	})
	if left := s.left(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, zone := range s.unasked {
		for _, name := range w.asked {
			if dns.IsSubDomain(zone+".", name) {
				t.Errorf("the resolver was asked for %s", name)
			}
		}
	}
	return steady(said.String(), ports)
}

// steady replaces what differs from run to run.
func steady(text string, ports map[string]string) string {
	text = regexp.MustCompile(`127\.0\.0\.1:\d+->`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`\b[a-z2-7]{20}\b`).ReplaceAllString(text, "RANDOM")
	for name, port := range ports {
		text = regexp.MustCompile(`\b`+port+`\b`).ReplaceAllString(text, name)
	}
	return text
}

// freePorts returns ports that were free on our host a moment ago.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var ports []string
	for range n {
		l, err := net.Listen("tcp", ourHost+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // all at once, so that they differ
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports
}

func number(t *testing.T, port string) uint16 {
	t.Helper()
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

// settings are what an archive's part of that name says of everything but DNS, a
// line each:
//
//	running              an exporter of this configuration runs
//	denied               our responders may not listen
//	taken                somebody else has the port of our name server
//	silent               the resolver says nothing where it gets no answer
//	foreign              somebody else answers at HTTPPORT and TLSPORT
//	redirect             a web server at HTTPPORT leads elsewhere, nobody listens at TLSPORT
//	account TARGET URL
//	directory TARGET [caa=A,B] [profiles=A,B] [terms=URL] [eab] [fails]
//	locate NAME ALIAS
//	publish NAME KIND    records of this name cannot be had
//	withdraw NAME KIND
//	update NAME KIND     neither, with the same words
//	unasked ZONE         no resolver may be asked for a name there
type settings struct {
	denied      bool
	unasked     []string
	patience    time.Duration // 0: a minute
	accounts    map[string]string
	directories map[string]*probe.Directory
	aliases     map[string]string
	failures    map[string]probe.FailureKind // by method and beginning of the name

	mu      sync.Mutex // guards written
	written []string
}

func newSettings(t *testing.T, archive *txtar.Archive, cfg *config.Config, w *world, ports map[string]string) *settings {
	t.Helper()
	s := &settings{accounts: map[string]string{}, directories: map[string]*probe.Directory{}, aliases: map[string]string{}, failures: map[string]probe.FailureKind{}}
	for line := range strings.Lines(string(section(t, archive, "settings").Data)) {
		words := strings.Fields(line)
		switch words[0] {
		case "running":
			r, err := s.open(cfg.Responders)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = r.Close(context.Background()) })
		case "taken":
			serveDNS(t, &dns.Server{Addr: net.JoinHostPort(ourHost, ports["DNSPORT"]), Net: "udp", Handler: dns.HandlerFunc(func(to dns.ResponseWriter, q *dns.Msg) {
				_ = to.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeRefused))
			})})
		case "silent":
			w.silent.Store(true)
			s.patience = time.Second
		case "denied":
			s.denied = true
		case "foreign", "redirect":
			serveForeign(t, ports, words[0] == "redirect")
		case "account":
			s.accounts[words[1]] = words[2]
		case "locate":
			s.aliases[words[1]] = words[2]
		case "publish", "withdraw", "update":
			s.failures[words[0]+" "+words[1]] = probe.FailureKind(words[2])
		case "unasked":
			s.unasked = append(s.unasked, words[1])
		case "directory":
			s.directories[words[1]] = newDirectory(words[2:])
		default:
			t.Fatalf("settings: %q", line)
		}
	}
	return s
}

func newDirectory(words []string) *probe.Directory {
	d := &probe.Directory{}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "caa":
			d.CAAIdentities = strings.Split(value, ",")
		case "profiles":
			d.Profiles = strings.Split(value, ",")
		case "terms":
			d.TermsOfService = value
		case "eab":
			d.ExternalAccountRequired = true
		case "fails":
			return nil
		}
	}
	return d
}

// serveForeign answers on the ports of our responders, over HTTP only.
func serveForeign(t *testing.T, ports map[string]string, redirect bool) {
	t.Helper()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if redirect {
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(http.StatusMovedPermanently)
			return
		}
		fmt.Fprintln(w, "welcome to nginx")
	})
	for _, port := range []string{ports["HTTPPORT"], ports["TLSPORT"]} {
		if redirect && port == ports["TLSPORT"] {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(ourHost, port))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("serve: %v", err)
			}
		}()
		t.Cleanup(func() {
			_ = server.Close()
			<-ended
		})
	}
}

func (s *settings) open(r config.Responders) (online.Responder, error) {
	if s.denied {
		return nil, errors.New("listen: permission denied: grant CAP_NET_BIND_SERVICE")
	}
	set := challenge.NewSet(slog.New(slog.DiscardHandler))
	change, err := set.Prepare(r)
	if err != nil {
		return nil, err
	}
	change.Commit()
	return set, nil
}

func (s *settings) directory(_ context.Context, target string, protocol config.IPProtocol) online.Reading {
	d := s.directories[target]
	if d == nil || protocol == config.IP6 {
		return online.Reading{Verdict: probe.Verdict{Outcome: probe.OutcomeFailure, Summary: "directory failed at ca.test: nobody listens there."}}
	}
	return online.Reading{Directory: d, Verdict: probe.Verdict{Outcome: probe.OutcomeSuccess}}
}

// Locate implements online.Records.
func (s *settings) Locate(_ context.Context, name string) (string, error) {
	for from, to := range s.aliases {
		if strings.HasPrefix(name, from) || strings.HasSuffix(name, strings.TrimPrefix(from, "*")) && from[0] == '*' {
			return to, nil
		}
	}
	return name, s.failure("locate", name)
}

// Publish implements online.Records.
func (s *settings) Publish(_ context.Context, records []probe.Record) error {
	for _, r := range records {
		err := s.failure("publish", r.Name)
		if kind, ok := errors.AsType[*probe.PublicationError](err); !r.Standing && (!ok || kind.Kind == probe.FailureTimeout) {
			s.mu.Lock()
			s.written = append(s.written, r.Name+" "+r.Value)
			s.mu.Unlock()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Withdraw implements online.Records.
func (s *settings) Withdraw(ctx context.Context, records []probe.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, r := range records {
		s.mu.Lock()
		s.written = slices.DeleteFunc(s.written, func(w string) bool { return w == r.Name+" "+r.Value })
		s.mu.Unlock()
		if err := s.failure("withdraw", r.Name); err != nil {
			return err
		}
	}
	return nil
}

func (s *settings) failure(method, name string) error {
	for key, kind := range s.failures {
		for _, method := range []string{method, "update"} {
			if strings.HasPrefix(method+" "+name, key) || strings.HasSuffix(name, strings.TrimPrefix(key, method+" *")) && strings.HasPrefix(key, method+" *") {
				return &probe.PublicationError{Kind: kind, Detail: method + " " + name + " failed", Advice: "mend it"}
			}
		}
	}
	return nil
}

// left are the records that were written and not withdrawn.
func (s *settings) left() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written
}
