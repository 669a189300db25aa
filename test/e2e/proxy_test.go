package e2e_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

const proxyPage = "../../docs/reverse-proxy.md"

// proxyPorts are the ports of the page, and what the test has in their places.
type proxyPorts struct {
	front, back parts.Ports // the proxy's, and acme_exporter's
	site        int         // the website's with TLS
	plain       int         // the website's without it
}

// here puts the test's ports into a configuration of the page.
func (p proxyPorts) here(text string) string {
	ports := map[string]int{
		"80": p.front.HTTP, "443": p.front.TLS, "8080": p.back.HTTP, "8443": p.back.TLS, "4443": p.site, "4480": p.plain,
	}
	return regexp.MustCompile(`(listen |:)(\d+)\b`).ReplaceAllStringFunc(text, func(s string) string {
		i := strings.LastIndexAny(s, " :") + 1
		if port, ok := ports[s[i:]]; ok {
			return s[:i] + strconv.Itoa(port)
		}
		return s
	})
}

// blocks returns the configurations in one language of the page.
func blocks(t *testing.T, language string, want int) []string {
	t.Helper()
	page, err := os.ReadFile(proxyPage)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllSubmatch(page, -1) {
		list = append(list, string(m[1]))
	}
	if len(list) != want {
		t.Fatalf("%d blocks of %s in %s, want %d", len(list), language, proxyPage, want)
	}
	return list
}

// proxies start what the page configures.
var proxies = []struct {
	name  string
	start func(*testing.T, proxyPorts)
}{
	{"nginx", startNginx},
	{"haproxy", startHAProxy},
}

// TestReverseProxy holds that with the configurations of the page a certificate
// is issued over tls-alpn-01 and http-01 through the proxy, that the visits are
// the validator's and not the proxy's, and that the website is still there.
func TestReverseProxy(t *testing.T) {
	t.Parallel()
	for _, proxy := range proxies {
		t.Run(proxy.name, func(t *testing.T) {
			t.Parallel()
			front := parts.NewPorts(t)
			back := parts.NewPorts(t)
			back.DNS = front.DNS
			ports := proxyPorts{front: front, back: back, site: parts.NewPorts(t).TLS, plain: parts.NewPorts(t).HTTP}
			proxy.start(t, ports)

			// The validator comes over IPv6, the proxy goes on over IPv4.
			exporter := parts.NewExporter(t, back, parts.StartPebble(t, front, "-smooth").CA)
			exporter.Reconfigure("addresses: [127.0.0.1]", `addresses: ["::1"]`)
			own := fmt.Sprintf("responders:\n  http: {listen_address: \"127.0.0.1:%d\"}\n  tls_alpn: {listen_address: \"127.0.0.1:%d\"}\n", back.HTTP, back.TLS)
			exporter.Reconfigure(own, ports.here(blocks(t, "yaml", 1)[0]))

			for _, test := range []struct{ module, asked string }{{"issue_alpn", "acme-tls/1"}, {"issue_http", "GET"}} {
				result := exporter.Probe(test.module)
				checkSteps(t, result)
				seen := 0
				for _, v := range result.Visits {
					if v.Asked != test.asked {
						continue
					}
					seen++
					if v.Family != probe.IPv6 || !v.OK {
						t.Errorf("%s: visit %+v, want the validator's, over IPv6", test.module, v)
					}
				}
				if seen == 0 {
					t.Errorf("%s: nobody asked %s: %+v", test.module, test.asked, result.Visits)
				}
			}
			for _, url := range []string{
				fmt.Sprintf("https://127.0.0.1:%d/", front.TLS), fmt.Sprintf("https://[::1]:%d/", front.TLS),
				fmt.Sprintf("http://127.0.0.1:%d/", front.HTTP), fmt.Sprintf("http://[::1]:%d/", front.HTTP),
			} {
				if got := website(t, url); got != "the website" {
					t.Errorf("%s: got %q, want the website", url, got)
				}
			}
		})
	}
}

// website fetches a page, whatever the certificate is.
func website(t *testing.T, url string) string {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	resp, err := (&http.Client{Transport: transport, Timeout: parts.Timeout}).Get(url)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(body)
}

// files writes a website and its certificate, and returns what to put in place
// of the page's paths.
func files(t *testing.T) (dir string, paths *strings.Replacer) {
	t.Helper()
	// A worker of nginx that root starts is somebody else.
	dir, err := os.MkdirTemp("", "acme_exporter-proxy-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	certificate, key := parts.ServerCertificate(t)
	for name, content := range map[string][]byte{"index.html": []byte("the website"), "website.pem": certificate, "website.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, strings.NewReplacer("/etc/ssl/website", dir+"/website", "/var/www/html", dir)
}

// nginxMain is what surrounds the page's blocks: where nginx keeps things, for
// a user who may be anybody.
const nginxMain = `
load_module %[4]s;
daemon off;
master_process off; # a single process, to be killed
pid %[1]s/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path %[1]s/body;
    proxy_temp_path       %[1]s/proxy;
    fastcgi_temp_path     %[1]s/fastcgi;
    uwsgi_temp_path       %[1]s/uwsgi;
    scgi_temp_path        %[1]s/scgi;
%[2]s}
%[3]s`

// nginxStream is where Debian's package libnginx-mod-stream has its module.
const nginxStream = "/usr/lib/nginx/modules/ngx_stream_module.so"

func startNginx(t *testing.T, p proxyPorts) {
	dir, paths := files(t)
	var inHTTP, beside string
	for _, block := range blocks(t, "nginx", 3) {
		block = paths.Replace(p.here(block))
		// The page says where each belongs.
		if strings.HasPrefix(block, "# in http { … }") {
			inHTTP += block
		} else {
			beside += block
		}
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxMain, dir, inHTTP, beside, nginxStream), 0o600); err != nil {
		t.Fatal(err)
	}
	parts.Start(t, exec.Command(parts.Program(t, "nginx"), "-p", dir, "-e", "stderr", "-c", file))
	p.await(t)
}

// haproxyMain is what stands before the page's blocks: Debian's time-outs.
const haproxyMain = `
defaults
    timeout connect 5s
    timeout client 50s
    timeout server 50s
`

func startHAProxy(t *testing.T, p proxyPorts) {
	dir, paths := files(t)
	// The website is behind HAProxy, and takes the PROXY protocol.
	site := fmt.Sprintf(`
frontend website
    mode http
    bind 127.0.0.1:%d accept-proxy ssl crt %s/website.both
    bind 127.0.0.1:%d
    http-request return status 200 content-type text/plain string "the website"
`, p.site, dir, p.plain)
	both := []byte{}
	for _, name := range []string{"website.pem", "website.key"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, content...)
	}
	if err := os.WriteFile(filepath.Join(dir, "website.both"), both, 0o600); err != nil {
		t.Fatal(err)
	}
	text := haproxyMain + strings.Join(blocks(t, "haproxy", 2), "")
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(paths.Replace(p.here(text))+site), 0o600); err != nil {
		t.Fatal(err)
	}
	parts.Start(t, exec.Command(parts.Program(t, "haproxy"), "-db", "-f", file))
	p.await(t)
}

// await waits until the proxy listens at its two ports.
func (p proxyPorts) await(t *testing.T) {
	t.Helper()
	for _, port := range []int{p.front.HTTP, p.front.TLS} {
		parts.Until(t, "the proxy listens", func() bool {
			c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
			if err != nil {
				return false
			}
			_ = c.Close()
			return true
		})
	}
}
