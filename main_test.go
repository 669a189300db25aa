package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

var update = flag.Bool("update", false, "write the golden parts of testdata/script anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"acme_exporter": main})
}

// TestScripts drives the built program as its users do: flags, files, signals
// and pages, against an ACME server of its own for each script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			ports, err := freePorts(4)
			if err != nil {
				return err
			}
			resolver, err := serveResolver(env)
			if err != nil {
				return err
			}
			ca := fakeca.New(env.T().(testing.TB), fakeca.Options{Validate: validateAt("127.0.0.1:"+ports[1], "127.0.0.1:"+ports[2])})
			if err := os.WriteFile(env.Cd+"/root.pem", ca.RootPEM(), 0o600); err != nil {
				return err
			}
			env.Values[caKey{}] = ca
			// Else each process that is tested with -race sleeps for a second at its end.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("DIRECTORY", ca.URL())
			env.Setenv("WEB", "127.0.0.1:"+ports[0])
			env.Setenv("HTTP01", "127.0.0.1:"+ports[1])
			env.Setenv("DNS01", "127.0.0.1:"+ports[2])
			env.Setenv("RESOLVER", resolver)
			env.Setenv("FREE", "127.0.0.1:"+ports[3])
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": cmdStatus, "get": cmdGet, "until": cmdUntil, "listen": cmdListen, "steady": cmdSteady, "expand": cmdExpand, "signal": cmdSignal, "series": cmdSeries, "ca": cmdCA, "ledger": cmdLedger,
		},
	})
}

// validateAt has the CA ask the responders under test.
func validateAt(http01, dns01 string) func(context.Context, probe.Challenge) error {
	overHTTP := fakeca.ValidateHTTP(func() string { return http01 })
	overDNS := fakeca.ValidateDNS(func() string { return dns01 })
	return func(ctx context.Context, c probe.Challenge) error {
		if c.Type == probe.DNS01 {
			return overDNS(ctx, c)
		}
		return overHTTP(ctx, c)
	}
}

// freePorts returns n ports that were free a moment ago, for UDP and TCP.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at once, so that they differ
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}

// cmdStatus is "status N command args…": the command must exit with N.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command args…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// cmdGet is "get [-X METHOD] [-H 'Name: value'] STATUS URL": the answer's body becomes the stdout file "body".
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	method, header := http.MethodGet, http.Header{}
	for len(args) > 2 {
		switch args[0] {
		case "-X":
			method = args[1]
		case "-H":
			name, value, _ := strings.Cut(args[1], ":")
			header.Add(name, strings.TrimSpace(value))
		default:
			ts.Fatalf("unknown option %q", args[0])
		}
		args = args[2:]
	}
	if neg || len(args) != 2 {
		ts.Fatalf("usage: get [-X METHOD] [-H header] STATUS URL")
	}
	status, body, err := fetch(method, args[1], header)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("body"), body, 0o600))
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("%s %s: status %d, want %s\n%s", method, args[1], status, args[0], body)
	}
}

func fetch(method, url string, header http.Header) (int, []byte, error) {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

// cmdUntil is "until URL REGEXP": the page must come to match within 20 s.
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: until URL REGEXP")
	}
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	var last string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		status, body, err := fetch(http.MethodGet, args[0], nil)
		if err == nil && status == http.StatusOK && want.Match(body) {
			ts.Check(os.WriteFile(ts.MkAbs("body"), body, 0o600))
			return
		}
		last = fmt.Sprintf("status %d, error %v\n%s", status, err, body)
		time.Sleep(20 * time.Millisecond) // a poll of another process, not a synchronization
	}
	ts.Fatalf("%s never matched %q; last: %s", args[0], args[1], last)
}

// cmdListen is "listen ADDRESS": the port is taken until the script ends.
func cmdListen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listen ADDRESS")
	}
	l, err := net.Listen("tcp", args[0])
	ts.Check(err)
	ts.Defer(func() { l.Close() })
}

type caKey struct{}

// cmdCA is "ca forget", after which the CA knows no account any more, or
// "ca fault CALL before|after|refused": the next call of that name is not heard,
// not answered, or refused.
func cmdCA(ts *testscript.TestScript, neg bool, args []string) {
	ca := ts.Value(caKey{}).(*fakeca.CA)
	faults := map[string]fakeca.Fault{
		"before":  {HangUp: fakeca.BeforeHeaders},
		"after":   {HangUp: fakeca.AfterHeaders},
		"refused": {Problem: &fakeca.Problem{Type: "rejectedIdentifier", Detail: "as it was told to"}},
	}
	switch {
	case !neg && len(args) == 1 && args[0] == "forget":
		ca.ForgetAccounts()
	case !neg && len(args) == 3 && args[0] == "fault":
		ca.Fault(probe.CallName(args[1]), faults[args[2]], 1)
	default:
		ts.Fatalf("usage: ca forget, or ca fault CALL before|after|refused")
	}
}

// cmdSeries is "series PAGE FILE": the series of ours on the page, without their
// values and buckets, and each family's type.
func cmdSeries(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: series PAGE FILE")
	}
	series := regexp.MustCompile(`(?m)^(# TYPE acme_.*|acme_[^{ ]*(\{[^}]*\})?)( .*)?$`)
	var kept []string
	for _, match := range series.FindAllStringSubmatch(ts.ReadFile(args[0]), -1) {
		if !strings.Contains(match[1], "_bucket{") && !strings.HasPrefix(match[1], "acme_exporter_build_info{") {
			kept = append(kept, match[1]+"\n")
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(kept, "")), 0o600))
}

// cmdSignal is "signal HUP|TERM": every background command gets it.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}
	if neg || len(args) != 1 || signals[args[0]] == nil {
		ts.Fatalf("usage: signal HUP|TERM")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(signals[args[0]]))
	}
}

// cmdExpand is "expand FILE": variables in it are replaced.
func cmdExpand(ts *testscript.TestScript, neg bool, args []string) {
	for _, file := range args {
		text := os.Expand(ts.ReadFile(file), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}

// steadyRules replace what differs from run to run.
var steadyRules = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\d{8}T\d{6}Z-[a-z0-9]{10}`), "RUN"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?( ?UTC|Z)?`), "TIME"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`(?m) +[─░▒▓█▄▼][─░▒▓█▄▼ ]* +[\d.]+$`), " BAR"},
	{regexp.MustCompile(`( |, )[\d.]+ ?m?s\b`), " N ms"},
	{regexp.MustCompile(`(dns|connect|tls) [\d.]+`), "$1 N"},
	{regexp.MustCompile(`(?m) {10,}(0|ms| |N ms)+$`), " SCALE"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d`), "DATE"},
	{regexp.MustCompile(`(?m)^(░ dns|▒ connect|▓ tls|█ answer|▄ body|▼ validator)(  [░▒▓█▄▼] \w+)*$`), "LEGEND"},
	{regexp.MustCompile(`[a-z2-7]{16,}\.`), "NAME."},
	{regexp.MustCompile(`\b[0-9a-f]{16,}\b`), "HEX"},
	{regexp.MustCompile(`ADDRESS/[a-z2-7]{26}\b`), "ADDRESS/PATH"},
	{regexp.MustCompile(`[A-Za-z0-9_-]{43}\b`), "THUMBPRINT"},
	{regexp.MustCompile(`after \d+ ms`), "after N ms"},
}

// cmdSteady is "steady FILE [KEEP-REGEXP]": what differs from run to run is
// replaced; with a second argument only matching lines stay.
func cmdSteady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: steady FILE [KEEP-REGEXP]")
	}
	text := ts.ReadFile(args[0])
	for _, rule := range steadyRules {
		text = rule.pattern.ReplaceAllString(text, rule.with)
	}
	if len(args) == 2 {
		keep := regexp.MustCompile(args[1])
		lines := slices.DeleteFunc(strings.SplitAfter(text, "\n"), func(line string) bool { return !keep.MatchString(line) })
		text = strings.Join(lines, "")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}
