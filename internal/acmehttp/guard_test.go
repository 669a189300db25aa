package acmehttp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestGuardAddresses(t *testing.T) {
	const (
		public   = ""
		metadata = "metadata"
	)
	tests := []struct{ address, block string }{
		{"1.1.1.1", public}, {"172.65.32.248", public}, {"2606:4700:60:0:f53d:5624:85c7:3a2c", public},
		{"9.255.255.255", public}, {"11.0.0.0", public}, {"100.63.255.255", public}, {"100.128.0.0", public},
		{"172.15.255.255", public}, {"172.32.0.0", public}, {"223.255.255.255", public},
		{"0.0.0.0", "0.0.0.0/8"}, {"10.0.0.1", "10.0.0.0/8"}, {"100.64.0.1", "100.64.0.0/10"},
		{"127.0.0.1", "127.0.0.0/8"}, {"127.255.255.254", "127.0.0.0/8"}, {"169.254.1.1", "169.254.0.0/16"},
		{"172.16.0.1", "172.16.0.0/12"}, {"172.31.255.255", "172.16.0.0/12"}, {"192.168.1.1", "192.168.0.0/16"},
		{"192.0.0.8", "192.0.0.0/24"}, {"198.18.0.1", "198.18.0.0/15"}, {"203.0.113.7", "203.0.113.0/24"},
		{"224.0.0.1", "224.0.0.0/4"}, {"255.255.255.255", "240.0.0.0/4"},
		{"::", "::/128"}, {"::1", "::1/128"}, {"fe80::1%eth0", "fe80::/10"}, {"febf::1", "fe80::/10"}, {"fec0::1", "fec0::/10"},
		{"fc00::1", "fc00::/7"}, {"fd12:3456::1", "fc00::/7"}, {"ff02::1", "ff00::/8"}, {"2001:db8::1", "2001:db8::/32"},
		{"::ffff:127.0.0.1", "127.0.0.0/8"}, {"::ffff:8.8.8.8", public}, {"::127.0.0.1", "::/96"}, {"::ffff:0:10.0.0.1", "::ffff:0:0:0/96"},
		{"64:ff9b::8.8.8.8", public}, {"64:ff9b::127.0.0.1", "64:ff9b::7f00:0/104"}, {"64:ff9b::192.168.1.1", "64:ff9b::c0a8:0/112"},
		{"64:ff9b:1::1", "64:ff9b:1::/48"}, {"2002:7f00:1::", "2002::/16"}, {"2001:0:1::1", "2001::/23"},
		{"4000::1", "4000::/16"}, {"100::1", "100::/64"}, {"3fff::1", "3fff::/20"}, {"5f00::1", "5f00::/16"},
		{"169.254.169.254", metadata}, {"::ffff:169.254.169.254", metadata}, {"fd00:ec2::254", metadata}, {"fd00:ec2::254%1", metadata},
		{"64:ff9b::169.254.169.254", metadata}, {"2002:a9fe:a9fe::", metadata}, {"::169.254.169.254", metadata}, {"100.100.100.200", metadata},
	}
	everything := normalize(prefixes("0.0.0.0/0", "::/0"))
	for _, tt := range tests {
		a := netip.MustParseAddr(tt.address)
		strict, lax := guard{}, guard{allow: everything}
		err := strict.check(a, false, nil)
		if tt.block == public {
			if err != nil {
				t.Errorf("%s: %v, want none", a, err)
			}
			continue
		}
		refused, ok := errors.AsType[*addressError](err)
		if !ok {
			t.Errorf("%s: %v, want it refused", a, err)
			continue
		}
		if tt.block != metadata {
			if refused.In.String() != tt.block {
				t.Errorf("%s is in %s, want %s", a, refused.In, tt.block)
			}
			if err := lax.check(a, false, nil); err != nil {
				t.Errorf("%s, allowed: %v", a, err)
			}
			if err := strict.check(a, true, nil); err != nil {
				t.Errorf("%s, the directory's own: %v", a, err)
			}
			if err := strict.check(a, false, []netip.Prefix{refused.In}); err != nil {
				t.Errorf("%s, in the directory's block: %v", a, err)
			}
			if err := strict.check(a, false, prefixes("6.0.0.0/8")); err == nil {
				t.Errorf("%s, the directory being elsewhere: not refused", a)
			}
			continue
		}
		for name, err := range map[string]error{
			"allowed with all others": lax.check(a, false, nil),
			"the directory's own":     strict.check(a, true, nil),
			"the directory's block":   strict.check(a, false, []netip.Prefix{refused.In}),
		} {
			if err == nil {
				t.Errorf("metadata service %s, %s: not refused", a, name)
			}
		}
		explicit := guard{allow: normalize([]netip.Prefix{netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen())})}
		if err := explicit.check(a, false, nil); err != nil {
			t.Errorf("metadata service %s, allowed by itself: %v", a, err)
		}
	}
}

func TestGuardAllowsMappedPrefixes(t *testing.T) {
	g := guard{allow: normalize([]netip.Prefix{netip.MustParsePrefix("::ffff:10.1.2.3/104"), {}})}
	if err := g.check(netip.MustParseAddr("10.9.9.9"), false, nil); err != nil {
		t.Error(err)
	}
	if err := g.check(netip.MustParseAddr("11.0.0.1"), false, nil); err != nil {
		t.Error(err)
	}
	if err := g.check(netip.MustParseAddr("127.0.0.1"), false, nil); err == nil {
		t.Error("127.0.0.1 is not refused")
	}
}

func TestGuardHosts(t *testing.T) {
	for host, refused := range map[string]bool{
		"acme.example": false, "acme.example.": false, "1.1.1.1": false, "a1.x2": false, "cafe": false,
		"localhost": true, "LOCALHOST.": true, "a.localhost": true, "127.0.0.1": true, "127.0.0.1.": true, "::1": true,
		"１２７.0.0.1": true, "127.1": true, "2130706433": true, "0x7f000001": true, "0x7f.1": true, "017700000001": true, "1.0x": true, "1.0X1": true,
	} {
		if err := (&guard{}).checkHost(host, false, nil); (err != nil) != refused {
			t.Errorf("%q: %v, want it refused: %v", host, err, refused)
		}
	}
}

// TestGuardDials has a directory on the loopback, and what it points to.
func TestGuardDials(t *testing.T) {
	a := newAuthority(t)
	srv := a.serve(t, issuance)
	other := a.serve(t, issuance)
	port := srv.URL[strings.LastIndexByte(srv.URL, ':'):]
	names := resolver(t, map[string][]string{
		"ca.example.": {"127.0.0.1"}, "private.example.": {"10.0.0.1"}, "meta.example.": {"169.254.169.254"},
		"mixed.example.": {"10.0.0.1", "127.0.0.1"}, "mapped.example.": {"::ffff:10.0.0.1"},
	})
	tests := []struct {
		name, dir, url string
		change         func(*Options)
		cause          probe.Cause // empty: it is reached
	}{
		{name: "directory by address", dir: srv.URL},
		{name: "directory by name", dir: "https://ca.example" + port},
		{name: "another port beside it", dir: srv.URL, url: other.URL},
		{name: "private", dir: srv.URL, url: "https://10.0.0.1", cause: probe.CauseAddress},
		{name: "private name", dir: srv.URL, url: "https://private.example", cause: probe.CauseAddress},
		{name: "name with a private and an admitted address", dir: "https://ca.example" + port, url: "https://mixed.example" + port, cause: probe.CauseCertificate},
		{name: "unspecified", dir: srv.URL, url: "https://0.0.0.0" + port, cause: probe.CauseAddress},
		{name: "unspecified IPv6", dir: srv.URL, url: "https://[::]" + port, cause: probe.CauseAddress},
		{name: "other loopback", dir: srv.URL, url: "https://[::1]" + port, cause: probe.CauseAddress},
		{name: "mapped", dir: srv.URL, url: "https://[::ffff:10.0.0.1]", cause: probe.CauseAddress},
		{name: "NAT64", dir: srv.URL, url: "https://[64:ff9b::127.0.0.1]", cause: probe.CauseAddress},
		{name: "metadata", dir: srv.URL, url: "https://169.254.169.254", cause: probe.CauseAddress},
		{name: "metadata by name", dir: srv.URL, url: "https://meta.example", cause: probe.CauseAddress},
		{name: "metadata as directory", dir: "https://meta.example", cause: probe.CauseAddress},
		{name: "metadata, its network allowed", dir: srv.URL, url: "https://169.254.169.254", change: func(o *Options) { o.AllowNetworks = prefixes("169.254.0.0/16") }, cause: probe.CauseAddress},
		{name: "http", dir: srv.URL, url: "http://127.0.0.1", cause: probe.CauseScheme},
		{name: "directory, nothing verified", dir: srv.URL, change: func(o *Options) { o.TLSConfig.InsecureSkipVerify = true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := a.session(t, tt.dir, func(o *Options) {
				o.Resolver = names
				if tt.change != nil {
					tt.change(o)
				}
			})
			_, err := do(t.Context(), s, "GET", tt.dir+"/dir")
			if tt.url != "" {
				if err != nil {
					t.Fatal(err)
				}
				_, err = do(t.Context(), s, "GET", tt.url+"/a")
			}
			switch tt.cause {
			case "":
				if err != nil {
					t.Error(err)
				}
			case probe.CauseCertificate: // reached, and of another name
				wantError(t, s, err, probe.PhaseTLS, tt.cause)
			default:
				call := wantError(t, s, err, probe.PhaseRequest, tt.cause)
				if call.Ready != 0 || call.Connection.Remote != "" || call.Connection.TLS != nil {
					t.Errorf("refused, and yet connected: %+v", call.Connection)
				}
			}
		})
	}
}

// TestGuardBeforeTheDirectory holds that nothing special is reached before the
// directory has shown where it lives, and that the directory's own host is.
func TestGuardBeforeTheDirectory(t *testing.T) {
	a := newAuthority(t)
	srv, other := a.serve(t, issuance), a.serve(t, issuance)
	s := a.session(t, srv.URL)
	_, err := do(t.Context(), s, "GET", other.URL+"/a")
	wantError(t, s, err, probe.PhaseRequest, probe.CauseAddress)
	if _, err := do(t.Context(), s, "GET", srv.URL+"/a"); err != nil {
		t.Errorf("the directory's own host: %v", err)
	}

	insecure := a.session(t, srv.URL, func(o *Options) { o.TLSConfig.InsecureSkipVerify = true })
	_, err = do(t.Context(), insecure, "GET", srv.URL+"/a")
	wantError(t, insecure, err, probe.PhaseRequest, probe.CauseAddress)

	allowed := a.session(t, srv.URL, func(o *Options) { o.AllowNetworks = prefixes("127.0.0.1/32") })
	if _, err := do(t.Context(), allowed, "GET", other.URL+"/a"); err != nil {
		t.Errorf("an allowed network: %v", err)
	}
}

// proxy is an HTTP proxy that answers CONNECT and counts.
func proxy(t *testing.T, count *atomic.Int32, status int) *url.URL {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count.Add(1)
		if status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
		up, err := net.Dial("tcp", strings.Replace(r.Host, "ca.example", "127.0.0.1", 1))
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer up.Close()
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(up, c); up.Close() }()
		_, _ = io.Copy(c, up)
	}))
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestGuardWithProxy(t *testing.T) {
	a := newAuthority(t)
	srv := a.serve(t, issuance)
	port := srv.URL[strings.LastIndexByte(srv.URL, ':'):]
	var count atomic.Int32
	via := func(o *Options) { o.Proxy = http.ProxyURL(proxy(t, &count, http.StatusOK)) }

	s := a.session(t, "https://ca.example"+port, via)
	if _, err := do(t.Context(), s, "GET", "https://ca.example"+port+"/dir"); err != nil {
		t.Fatal(err)
	}
	call, _ := s.Call(0)
	if call.Connection.DNS != nil || call.Connection.Connect == nil || call.Connection.TLS == nil {
		t.Errorf("phases %+v", call.Connection)
	}
	if count.Load() != 1 {
		t.Errorf("the proxy was asked %d times", count.Load())
	}
	for _, host := range []string{"127.0.0.1", "10.0.0.1", "[::1]", "localhost", "127.1", "169.254.169.254", "0x7f000001"} {
		_, err := do(t.Context(), s, "GET", "https://"+host+port+"/a")
		wantError(t, s, err, probe.PhaseRequest, probe.CauseAddress)
	}
	if count.Load() != 1 {
		t.Error("the proxy was asked for a refused address")
	}

	literal := a.session(t, srv.URL, via)
	for _, path := range []string{"/dir", "/a"} {
		if _, err := do(t.Context(), literal, "GET", srv.URL+path); err != nil {
			t.Errorf("a directory by address: %v", err)
		}
	}

	refusing := a.session(t, srv.URL, func(o *Options) { o.Proxy = http.ProxyURL(proxy(t, &count, http.StatusForbidden)) })
	_, err := do(t.Context(), refusing, "GET", srv.URL+"/dir")
	failed := wantError(t, refusing, err, probe.PhaseConnect, probe.CauseOther)
	if !strings.Contains(failed.Error.Message, "403") {
		t.Errorf("message %q does not say what the proxy said", failed.Error.Message)
	}
}

func TestFamily(t *testing.T) {
	a := newAuthority(t)
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatalf("this test needs IPv6 on the loopback: %v", err)
	}
	six := a.serve(t, issuance, func(s *httptest.Server) { s.Listener.Close(); s.Listener = l })
	four := a.serve(t, issuance)
	for family, srv := range map[probe.Family]*httptest.Server{probe.IPv6: six, probe.IPv4: four} {
		s := a.session(t, srv.URL, func(o *Options) { o.Family = family })
		if _, err := do(t.Context(), s, "GET", srv.URL+"/dir"); err != nil {
			t.Error(err)
		}
		call, _ := s.Call(0)
		if call.Connection.Family != family || call.Connection.Remote != srv.Listener.Addr().String() {
			t.Errorf("connected to %q over %q, want %q", call.Connection.Remote, call.Connection.Family, family)
		}
	}
}
