package challenge

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// fetch makes one request to the HTTP responder of s.
func fetch(t *testing.T, s *Set, method, host, path string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addresses()["http"].String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       5 * time.Second,
	}
	response, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestHTTP(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{HTTP: httpConfig()})
	c := aChallenge(probe.HTTP01, "Www.probe.example", "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA")
	withdraw := present(t, s, c)
	present(t, s, aChallenge(probe.HTTP01, "2001:db8::0:1", "of-an-address"))
	live := challengePath + c.Token
	const notFound, notAllowed = "not found\n", "method not allowed\n"

	tests := []struct {
		method, host, path string
		status             int
		body               string
	}{
		{"GET", "www.probe.example", live, 200, c.KeyAuthorization},
		{"GET", "WWW.Probe.Example", live, 200, c.KeyAuthorization},
		{"GET", "www.probe.example:80", live, 200, c.KeyAuthorization},
		{"GET", "www.probe.example.", live, 200, c.KeyAuthorization},
		{"GET", "www.probe.example", live + "?a=b", 200, c.KeyAuthorization},
		{"HEAD", "www.probe.example", live, 200, ""},
		{"GET", "[2001:db8::1]", challengePath + "of-an-address", 200, "of-an-address.thumb-print_1"},
		{"GET", "[2001:DB8:0::1]:80", challengePath + "of-an-address", 200, "of-an-address.thumb-print_1"},
		{"GET", "other.probe.example", live, 404, notFound},
		{"GET", "www.probe.example", challengePath + "unknown", 404, notFound},
		{"GET", "www.probe.example", live + "/", 404, notFound},
		{"GET", "www.probe.example", live + "=", 404, notFound},
		{"GET", "www.probe.example", challengePath, 404, notFound},
		{"GET", "www.probe.example", challengePath + "../../../etc/passwd", 404, notFound},
		{"GET", "www.probe.example", "/.well-known/./acme-challenge/" + c.Token, 404, notFound},
		{"GET", "www.probe.example", "//.well-known/acme-challenge/" + c.Token, 404, notFound},
		{"GET", "www.probe.example", "/", 404, notFound},
		{"POST", "www.probe.example", live, 405, notAllowed},
		{"OPTIONS", "www.probe.example", "/", 405, notAllowed},
		{"DELETE", "other.probe.example", "/x", 405, notAllowed},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.host+tt.path, func(t *testing.T) {
			response, body := fetch(t, s, tt.method, tt.host, tt.path)
			if response.StatusCode != tt.status || body != tt.body {
				t.Errorf("got %d %q, want %d %q", response.StatusCode, body, tt.status, tt.body)
			}
			if got := response.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
				t.Errorf("Content-Type %q", got)
			}
			if got, want := response.Header.Get("Allow"), "GET, HEAD"; (got == want) != (tt.status == 405) {
				t.Errorf("Allow %q with status %d", got, tt.status)
			}
			if tt.method == "HEAD" && response.ContentLength != int64(len(c.KeyAuthorization)) {
				t.Errorf("Content-Length %d", response.ContentLength)
			}
		})
	}

	var got []string
	for _, v := range withdraw() {
		got = append(got, fmt.Sprint(v.Asked, " ", v.Answered, " ", v.OK, " ", v.Family, " ", v.Challenge))
	}
	solved := "GET 200 true ip4 http-01"
	want := []string{solved, solved, solved, solved, solved, "HEAD 200 false ip4 http-01", "GET 404 false ip4 http-01"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("visits (-want +got):\n%s", diff)
	}
	if response, _ := fetch(t, s, "GET", "www.probe.example", live); response.StatusCode != http.StatusNotFound {
		t.Errorf("after withdraw: %d, want 404", response.StatusCode)
	}
}

// Requests that no client library would send.
func TestHTTPRaw(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{HTTP: httpConfig()})
	c := aChallenge(probe.HTTP01, "www.probe.example", "raw-token")
	present(t, s, c)
	for _, tt := range []struct {
		name, request string
		status        int
	}{
		{"HTTP/1.0 without host", "GET " + challengePath + "raw-token HTTP/1.0\r\n\r\n", 404},
		{"HTTP/1.0", "GET " + challengePath + "raw-token HTTP/1.0\r\nHost: www.probe.example\r\n\r\n", 200},
		{"absolute form", "GET http://www.probe.example" + challengePath + "raw-token HTTP/1.1\r\nHost: other\r\n\r\n", 200},
		{"escaped", "GET /.well-known/acme-challenge/raw%2Dtoken HTTP/1.1\r\nHost: www.probe.example\r\n\r\n", 200},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 405},
		{"CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405},
		{"header of 64 KiB", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 431},
		{"noise", "\x16\x03\x01\x02\x00\x01\r\n\r\n", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Addresses()["http"].String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			// The responder may close before it has read all of a header.
			_, _ = io.WriteString(conn, tt.request)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != tt.status {
				t.Errorf("got %d, want %d", response.StatusCode, tt.status)
			}
			if !response.Close {
				t.Error("the connection is kept open")
			}
		})
	}
}

// A listener holds what it may and closes what is beyond, at once; a place that
// becomes free is given again.
func TestBoundedListener(t *testing.T) {
	inner, err := net.Listen("tcp", loopback)
	if err != nil {
		t.Fatal(err)
	}
	l := newBoundedListener(inner)
	l.total, l.perNetwork = 3, 2
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		return c
	}
	first, second := dial(), dial()
	firstHeld, secondHeld := <-accepted, <-accepted
	third := dial()
	if n, err := third.Read(make([]byte, 1)); n != 0 || err == nil || isTimeout(err) {
		t.Errorf("third connection of a network: %d, %v, want it closed", n, err)
	}
	firstHeld.Close()
	firstHeld.Close() // gives one place back, not two
	fourth := dial()
	fourthHeld := <-accepted
	if l.open != 2 {
		t.Errorf("%d places taken, want 2", l.open)
	}
	l.Close()
	<-accepted
	for _, c := range []net.Conn{first, second, third, fourth, secondHeld, fourthHeld} {
		c.Close()
	}
	if l.open != 0 || len(l.networks) != 0 {
		t.Errorf("%d places of %d networks taken after the end, want none", l.open, len(l.networks))
	}
}
