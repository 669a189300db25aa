package live

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// Where everything is, in a network of its own.
const (
	root      = "../.." // the repository
	resolver  = "127.0.0.1"
	dnsRoot   = "127.0.0.10"
	control   = "127.0.0.80" // the receiver, which the exporters take for a control
	lifeline  = "127.0.0.81" // the way to it of the location that loses all
	manager   = "127.0.0.91:9093"
	firstLine = 20000 // the ports of relays are above it
)

// configuration is that of one exporter: the production of every CA, and of one the
// staging, from a location with a zone of its own.
const configuration = `targets:
{{- range .Targets}}
  {{.Name}}:
    directory_url: {{.URL}}
    environment: {{.Environment}}
    tls_config: {ca_file: {{.RootFile}}}
    {{- if .Published}}
    own_ca: true
    issuer_roots: {{$.Files.Root}}
    rate_limits: {new_orders: {count: 100000, period: 1h}}
    {{- else}}
    rate_limits: none
    {{- end}}
    account: {agree_to_terms: true}
    probes:
      directory: 20s
      account: 20s
      issue: 20s
      {{- if .Published}}
      revoked: 1m
      refused: 1m
      crl: 20s
      ocsp: 20s
      renewal_info: 20s
      {{- end}}
      {{- if .Told}}
      status: 15s
      {{- end}}
{{- end}}
log_list_file: {{.Files.LogList}}
responders:
  dns:
    listen_address: "{{.Address}}:53"
    zones: [{{.Location}}.acme-probe.example]
    nameserver: ns.{{.Location}}.acme-probe.example
    addresses: [{{.Address}}]
resolvers: ["{{.Resolver}}:53"]
controls: {urls: ["http://{{.Control}}/"]}
modules:
  issue: {issue: {challenge: dns-01}}
  revoked: {prober: issue, issue: {challenge: dns-01, lint: true, revoke: {every: 1h}}}
  refused: {prober: issue, issue: {challenge: dns-01, expect: {problem: unauthorized}}}
  status: {prober: status_page, status_page: {url: {{.Status}}, components: [ACME]}}
`

// watched is a target, as a location's exporter is told of it.
type watched struct {
	parts.CA
	Name, Environment, URL string
	Told                   bool // as the scenario
	Published              bool // as the scenario, but not over a line that is cut
}

// location is an exporter, and where it is.
type location struct {
	name       string
	address    string // of its pages and its responder
	histograms string // that it exposes
	exporter   *parts.Exporter
}

// stack is everything that is between a fault and a page.
type stack struct {
	t *testing.T
	*parts.Namespace
	*receiver
	prometheus *parts.Prometheus
	cas        map[string]*parts.Pebble  // by target
	relays     map[string][]*parts.Relay // by target: the lines that will be cut
	lifeline   *parts.Relay              // to the control, that will be cut
	lines      int                       // how many relays there are
	status     *parts.StatusPage
	files      parts.SigningFiles
	groups     map[group][]*location
}

// newStack starts all of it but the exporters.
func newStack(t *testing.T) *stack {
	t.Helper()
	n := parts.NewNamespace(t, resolver)
	s := &stack{
		t: t, Namespace: n, receiver: startReceiver(t, n, control), status: n.StartStatusPage(t),
		cas: map[string]*parts.Pebble{}, relays: map[string][]*parts.Relay{}, groups: map[group][]*location{},
	}
	s.lifeline = n.StartRelay(t, lifeline+":80", control+":80")
	for g, names := range map[group][]string{
		near: {"fra", "nyc", "sin", "syd", "gru"}, far: {"lon", "par", "dub", "mad", "osl"}, side: {"lis", "hel", "waw", "vie"},
	} {
		for i, name := range names {
			s.addLocation(g, name, fmt.Sprintf("127.0.%d.%d", g+1, i+1))
		}
	}
	// The others have both kinds. All that asks Prometheus has to make do with it.
	s.groups[side][1].histograms, s.groups[side][2].histograms = "classic", "native"
	s.internet()
	files, signing := parts.Signing(t)
	s.files = files
	for _, sc := range scenarios {
		flags := sc.flags
		if flags == nil {
			flags = []string{"-smooth"}
		}
		if sc.published {
			// A revocation shows at the responder, and not on the list.
			flags = slices.Concat(flags, signing, []string{"-crl-delay=5h"})
		}
		s.cas[sc.target] = parts.StartPebble(t, n.Ports(), append([]string{"-quiet"}, flags...)...)
	}
	for g, locations := range s.groups {
		for _, l := range locations {
			s.configure(g, l)
		}
	}
	s.StartAlertmanager(t, manager, s.alertmanagerConfiguration())
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(file, []byte(s.prometheusConfiguration()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.prometheus = n.NewPrometheus(t, file, "--scrape.discovery-reload-interval=100ms")
	return s
}

// addLocation makes an exporter of the group, at the address.
func (s *stack) addLocation(g group, name, address string) {
	s.t.Helper()
	l := &location{name: name, address: address, histograms: "both", exporter: parts.NewExporter(s.t, s.Ports(), parts.CA{})}
	l.exporter.Plain = true
	l.exporter.ListenAt(address + ":18555")
	s.groups[g] = append(s.groups[g], l)
}

// locations are all of them.
func (s *stack) locations() []*location {
	return slices.Concat(s.groups[near], s.groups[far], s.groups[side])
}

// internet starts the resolver of the CAs, which finds each location's zone.
func (s *stack) internet() {
	s.t.Helper()
	records := "@ NS ns.root.\nns.root. A " + dnsRoot + "\n"
	for _, l := range s.locations() {
		records += fmt.Sprintf("%[1]s.acme-probe.example. NS ns.%[1]s.acme-probe.example.\nns.%[1]s.acme-probe.example. A %[2]s\n", l.name, l.address)
	}
	s.StartNamed(s.t, dnsRoot, parts.Zone{Records: records})
	s.StartUnbound(s.t, resolver, dnsRoot)
}

// configure tells the exporter of l what to watch. To a CA that it is to be cut off
// from it has a line of its own, and asks nothing of it that goes another way.
func (s *stack) configure(g group, l *location) {
	s.t.Helper()
	var targets []watched
	for _, sc := range scenarios {
		if sc.by != g {
			continue
		}
		w := watched{
			CA: s.cas[sc.target].CA, Name: sc.target, Environment: sc.env(), URL: s.cas[sc.target].DirectoryURL,
			Published: sc.published, Told: sc.told,
		}
		if sc.told {
			w.RootFile = s.status.Roots(s.t, w.RootFile)
		}
		if len(s.relays[sc.target]) < sc.cut {
			w.URL = s.line(sc.target, w.URL)
			w.Published = false
		}
		targets = append(targets, w)
	}
	asked := control
	if l == s.groups[side][0] {
		asked = lifeline
	}
	var text bytes.Buffer
	err := template.Must(template.New("").Parse(configuration)).Execute(&text, map[string]any{
		"Targets": targets, "Address": l.address, "Location": l.name, "Resolver": resolver, "Control": asked,
		"Files": s.files, "Status": s.status.URL,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	l.exporter.Configure(text.String())
}

// line makes a way to the CA of target that can be cut, and returns the directory
// at its near end.
func (s *stack) line(target, directory string) string {
	s.t.Helper()
	u, err := url.Parse(directory)
	if err != nil {
		s.t.Fatal(err)
	}
	far := u.Host
	// The CA's certificate is for its address, whatever the port.
	s.lines++
	u.Host = fmt.Sprintf("%s:%d", u.Hostname(), firstLine+s.lines)
	s.relays[target] = append(s.relays[target], s.StartRelay(s.t, u.Host, far))
	return u.String()
}

// prometheusConfiguration is the job of examples/prometheus.yml that reads /metrics,
// with our exporters in place of its own, and the rules of alerts/.
func (s *stack) prometheusConfiguration() string {
	s.t.Helper()
	example := readYAML(s.t, "examples/prometheus.yml")
	job := example["scrape_configs"].([]any)[0].(map[string]any)
	if job["job_name"] != "acme" {
		s.t.Fatalf("examples/prometheus.yml: the first job is %v, want acme", job["job_name"])
	}
	var targets []any
	for _, l := range s.locations() {
		targets = append(targets, map[string]any{
			"targets": []string{l.address + ":18555"}, "labels": map[string]string{"location": l.name},
		})
	}
	job["static_configs"] = targets
	example["scrape_configs"] = []any{job}
	rules := example["rule_files"].([]any)
	for i, name := range rules {
		path, err := filepath.Abs(filepath.Join(root, "alerts", name.(string)))
		if err != nil {
			s.t.Fatal(err)
		}
		rules[i] = path
	}
	if len(rules) != 2 {
		s.t.Fatalf("examples/prometheus.yml has the rules %v", rules)
	}
	example["alerting"] = map[string]any{"alertmanagers": []any{map[string]any{
		"static_configs": []any{map[string]any{"targets": []string{manager}}},
	}}}
	return marshal(s.t, example)
}

// alertmanagerConfiguration is alerts/alertmanager.yml with our receiver's address in
// the URLs.
func (s *stack) alertmanagerConfiguration() string {
	s.t.Helper()
	example := readYAML(s.t, "alerts/alertmanager.yml")
	for _, one := range example["receivers"].([]any) {
		for _, webhook := range one.(map[string]any)["webhook_configs"].([]any) {
			webhook := webhook.(map[string]any)
			u, err := url.Parse(webhook["url"].(string))
			if err != nil {
				s.t.Fatal(err)
			}
			u.Host = control
			webhook["url"] = u.String()
		}
	}
	return marshal(s.t, example)
}

// serve starts the exporters, and waits until every rule knows that all is well.
func (s *stack) serve() {
	s.t.Helper()
	for _, l := range s.locations() {
		l.exporter.Serve("--log.level=error", "--metrics.histograms="+l.histograms)
	}
	want := 0
	for _, sc := range scenarios {
		want += len(s.groups[sc.by])
	}
	const well = `sum(acme_target_state{state="up"})`
	s.await("all CAs are up everywhere", 5*time.Minute, func() bool { return s.value(well) == float64(want) })
	// They look at who is there every minute.
	s.await("the rules know of all locations", 3*time.Minute, func() bool {
		return s.value("sum(environment_target:acme_target_known:sum)") == float64(want)
	})
}

// value is that of an expression with one result, now; 0: it has none.
func (s *stack) value(expression string) float64 {
	s.t.Helper()
	value, _ := s.prometheus.Value(expression)
	return value
}

// await polls until done, for d at most, and then fails the test.
func (s *stack) await(what string, d time.Duration, done func() bool) {
	s.t.Helper()
	if !s.poll(time.Now().Add(d), done) {
		s.t.Fatalf("wait until %s: not within %v", what, d)
	}
}

// poll polls until done, and reports whether that was before the deadline.
func (s *stack) poll(deadline time.Time, done func() bool) bool {
	for !done() {
		if time.Now().After(deadline) {
			return false
		}
		s.sleep(time.Second)
	}
	return true
}

// sleep waits, unless the test ends.
func (s *stack) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.t.Context().Done():
	}
}

// readYAML reads a file of the repository.
func readYAML(t *testing.T, path string) (content map[string]any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err == nil {
		err = yaml.Unmarshal(text, &content)
	}
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// marshal makes YAML.
func marshal(t *testing.T, content any) string {
	t.Helper()
	var text strings.Builder
	if err := yaml.NewEncoder(&text).Encode(content); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
