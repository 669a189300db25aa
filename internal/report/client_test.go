package report

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

// TestRedacted holds that nothing of a URL is shown that can be a secret.
func TestRedacted(t *testing.T) {
	for address, want := range map[string]string{
		"https://me:secret@prometheus.example/path?token=secret#secret": "https://prometheus.example/path",
		"http://localhost:9090?": "http://localhost:9090",
		"http://me:sec ret@[::1": "the URL",
	} {
		if got := redacted(address); got != want {
			t.Errorf("%s is shown as %s, want %s", address, got, want)
		}
	}
}

// TestTold holds that the name of a target does nothing to a terminal.
func TestTold(t *testing.T) {
	m := &maker{Options: Options{Progress: func(what string) {
		if what != "a\ufffd[2Jb" {
			t.Errorf("told %q", what)
		}
	}}}
	m.tell("a\x1b[2Jb")
}

// refusing is a server that refuses what is of more than so long a time.
func refusing(t *testing.T, most time.Duration, status int, body string) (c *client, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		number := func(name string) float64 {
			v, err := strconv.ParseFloat(r.FormValue(name), 64)
			if err != nil {
				t.Errorf("%s=%s", name, r.FormValue(name))
			}
			return v
		}
		first, last := number("start"), number("end")
		if last-first > most.Seconds() {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return
		}
		var data any = []any{map[string]any{"__name__": "x", "at": r.FormValue("start")}}
		if strings.HasSuffix(r.URL.Path, "/query_range") {
			values := [][2]any{}
			for at := first; at <= last; at += number("step") {
				values = append(values, [2]any{at, "1"})
			}
			data = map[string]any{"resultType": "matrix", "result": []any{map[string]any{"metric": map[string]any{}, "values": values}}}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": data})
	}))
	t.Cleanup(server.Close)
	c, err := newClient(server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, asked
}

// TestServersLimits holds that a range that is too much for a server is asked for in pieces, at once
// and whatever words the server has for that.
func TestServersLimits(t *testing.T) {
	told := func(kind, text string) string {
		return fmt.Sprintf(`{"status":"error","errorType":%q,"error":%q}`, kind, text)
	}
	for _, c := range []struct {
		name   string
		status int
		body   string
	}{
		{"Prometheus: samples", 422, told("execution", "query processing would load too many samples into memory in query execution")},
		{"Prometheus: points", 400, told("bad_data", "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")},
		{"Prometheus: time", 503, told("timeout", "query timed out in expression evaluation")},
		{"Thanos: series", 422, told("execution", "expand series: exceeded series limit: limit 1000 violated (got 1001)")},
		{"Thanos: range", 400, told("bad_data", "the query time range exceeds the limit (query length: 24h0m0s, limit: 3h0m0s)")},
		{"Mimir: range", 422, told("execution", "the query time range exceeds the limit (query length: 24h0m0s, limit: 3h0m0s) (err-mimir-max-query-length)")},
		{"Mimir: chunks", 422, told("execution", "the query exceeded the maximum number of chunks (limit: 2000000 chunks) (err-mimir-max-chunks-per-query)")},
		{"Mimir: size", 413, "the response is larger than the maximum"},
		{"a proxy", 504, "<html><h1>504 Gateway Time-out</h1></html>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client, asked := refusing(t, 3*time.Hour, c.status, c.body)
			until := monday.Add(30*time.Hour + 20*time.Second)
			next := monday
			err := client.each(context.Background(), "x", monday, until, time.Minute, func(matrix model.Matrix) {
				for _, pair := range matrix[0].Values {
					if !pair.Timestamp.Time().Equal(next) {
						t.Fatalf("%v, want %v", pair.Timestamp.Time(), next)
					}
					next = next.Add(time.Minute)
				}
			})
			if err != nil || !next.Equal(monday.Add(30*time.Hour+time.Minute)) {
				t.Errorf("%v, all until %v", err, next)
			}
			// 24, 12 and 6 hours are too much, 3 are not; the rest is in pieces of 3 from the start.
			if n := asked.Load(); n < 12 || n > 16 {
				t.Errorf("%d questions", n)
			}
		})
	}
	t.Run("nothing is too little", func(t *testing.T) {
		t.Parallel()
		client, asked := refusing(t, -1, 422, told("execution", "exceeded series limit"))
		err := client.each(context.Background(), "x", monday, monday.AddDate(0, 0, 7), time.Minute, func(model.Matrix) { t.Error("an answer") })
		if err == nil || !strings.Contains(err.Error(), "exceeded series limit: raise the server's limits, or ask for fewer --targets or a shorter time") || asked.Load() > 10 {
			t.Errorf("%v after %d questions", err, asked.Load())
		}
	})
	t.Run("which series", func(t *testing.T) {
		t.Parallel()
		client, _ := refusing(t, 6*time.Hour, 422, told("execution", "the label query time range exceeds the limit"))
		sets, err := client.series(context.Background(), monday, monday.Add(20*time.Hour), "x")
		if err != nil {
			t.Fatal(err)
		}
		var starts []string
		for _, set := range sets {
			starts = append(starts, string(set["at"]))
		}
		want := []string{}
		for at := monday; at.Before(monday.Add(20 * time.Hour)); at = at.Add(5 * time.Hour) {
			want = append(want, fmt.Sprint(at.Unix()))
		}
		if fmt.Sprint(starts) != fmt.Sprint(want) {
			t.Errorf("asked from %v, want %v", starts, want)
		}
	})
}

// TestRefusals holds what is tried again, and what is said of what a server refuses.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		asked  int64
		want   string
	}{
		{"busy", 429, `{"status":"error","errorType":"too_many_requests","error":"the request has been rejected: tenant limit"}`, 2, "client error: 429 ({"},
		{"another path", 404, "404 page\nnot \x1bfound", 1, "client error: 404 (404 page not \ufffdfound): is --prometheus.url right? It goes up to where /api/v1 comes, such as https://mimir.example/prometheus"},
		{"no tenant", 401, "no org id\n", 1, "client error: 401 (no org id): give credentials, or Mimir's header X-Scope-OrgID, with --prometheus.config"},
		{"a page", 200, "<html>Log in</html>", 1, "is --prometheus.url right? It goes up to where /api/v1 comes, such as https://mimir.example/prometheus"},
		{"a mistake", 400, `{"status":"error","errorType":"bad_data","error":"parse error"}`, 1, "parse error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var asked atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
				if asked.Add(1) == 2 {
					time.AfterFunc(100*time.Millisecond, cancel) // it would be asked once more
				}
			}))
			t.Cleanup(server.Close)
			client, err := newClient(server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.instant(ctx, "x", monday)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\n\x1b") || asked.Load() != c.asked {
				t.Errorf("%v after %d questions, want %q after %d", err, asked.Load(), c.want, c.asked)
			}
		})
	}
}
