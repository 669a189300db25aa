package report

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

const (
	// maxPoints is how many points of a series are asked for at once. Prometheus
	// refuses more than 11,000.
	maxPoints = 10_000
	// leastPoints are asked for at once even if that is more than a day.
	leastPoints = 336
	// leastSpan is the shortest range into which a range that is too much for the
	// server is cut.
	leastSpan = time.Hour
	// inFlight is how many queries the server works on at once.
	inFlight = 2
	// queryTimeout bounds each attempt; a server's own limit is two minutes by default.
	queryTimeout = 150 * time.Second
	// attempts is how often a query is sent that the server, or the way to it, failed;
	// the first pause is between the first two, and doubles.
	attempts   = 3
	firstPause = time.Second
)

// client asks a server that is compatible with Prometheus's API.
type client struct {
	api v1.API
	// slots bounds how many queries are in flight.
	slots chan struct{}

	mu       sync.Mutex // guards warnings
	warnings []string   // of the server, each once, at most maxWarnings
}

// maxWarnings bounds what the report says of them.
const maxWarnings = 5

// warn keeps what the server warns of, such as that a part of it did not answer.
func (c *client) warn(warnings v1.Warnings) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range warnings {
		const most = 300
		if len(w) > most {
			w = strings.ToValidUTF8(w[:most], "") + "…"
		}
		if len(c.warnings) < maxWarnings && !slices.Contains(c.warnings, w) {
			c.warnings = append(c.warnings, w)
		}
	}
}

func newClient(address string, via *http.Client) (*client, error) {
	c, err := api.NewClient(api.Config{Address: strings.TrimRight(address, "/"), Client: via})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", redacted(address), err)
	}
	return &client{api: v1.NewAPI(c), slots: make(chan struct{}, inFlight)}, nil
}

// redacted is a URL without what can be a secret in it: user, password and query.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the URL"
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment = nil, "", false, ""
	return u.String()
}

// instant evaluates a query at a time.
func (c *client) instant(ctx context.Context, query string, at time.Time) (model.Vector, error) {
	var vector model.Vector
	err := c.try(ctx, func(ctx context.Context) error {
		value, warnings, _, err := c.api.Query(ctx, query, at)
		c.warn(warnings)
		if err != nil {
			return err
		}
		var ok bool
		if vector, ok = value.(model.Vector); !ok {
			return fmt.Errorf("the answer is a %s, and a vector was expected", value.Type())
		}
		return nil
	})
	if err != nil {
		return nil, queryError(query, err)
	}
	return vector, nil
}

// each evaluates a query at since, since+step … before until, and calls do with each
// piece of the answer, in the order of time. A range that is too much for the server
// is cut.
func (c *client) each(ctx context.Context, query string, since, until time.Time, step time.Duration, do func(model.Matrix)) error {
	longest := min(max(24*time.Hour/step, leastPoints), maxPoints) * step
	for since.Before(until) {
		n := longest
		if rest := until.Sub(since); rest < n {
			n = (rest + step - 1) / step * step
		}
		matrix, err := c.piece(ctx, query, since, since.Add(n-step), step)
		if tooMuch(err) && n > max(leastSpan, step) {
			longest = max(n/2/step, 1) * step
			continue
		}
		if err != nil {
			return queryError(query, err)
		}
		do(matrix)
		since = since.Add(n)
	}
	return nil
}

func (c *client) piece(ctx context.Context, query string, first, last time.Time, step time.Duration) (model.Matrix, error) {
	var matrix model.Matrix
	err := c.try(ctx, func(ctx context.Context) error {
		value, warnings, _, err := c.api.QueryRange(ctx, query, v1.Range{Start: first, End: last, Step: step})
		c.warn(warnings)
		if err != nil {
			return err
		}
		var ok bool
		if matrix, ok = value.(model.Matrix); !ok {
			return fmt.Errorf("the answer is a %s, and a matrix was expected", value.Type())
		}
		return nil
	})
	return matrix, err
}

// series returns the label sets of the series that match, perhaps several times. It asks for a day
// at once: where Mimir limits the range of such a question it answers for the end of it alone,
// without a word.
func (c *client) series(ctx context.Context, since, until time.Time, match ...string) ([]model.LabelSet, error) {
	var all []model.LabelSet
	for longest := 24 * time.Hour; since.Before(until); {
		n := min(longest, until.Sub(since))
		err := c.try(ctx, func(ctx context.Context) error {
			sets, warnings, _, err := c.api.Series(ctx, match, since, since.Add(n))
			c.warn(warnings)
			if err == nil {
				all = append(all, sets...)
			}
			return err
		})
		if tooMuch(err) && n > leastSpan {
			longest = n / 2
			continue
		}
		if err != nil {
			return nil, queryError(strings.Join(match, ", "), err)
		}
		since = since.Add(n)
	}
	return all, nil
}

// try calls ask until it succeeds, or its error is not one that passes.
func (c *client) try(ctx context.Context, ask func(context.Context) error) error {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	pause := firstPause
	for n := 1; ; n++ {
		err := once(ctx, ask)
		if err == nil || n == attempts || !passes(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return err
		}
	}
}

// once calls ask with the time that a query may take.
func once(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return ask(ctx)
}

// passes reports whether it makes sense to ask the same again after err.
func passes(err error) bool {
	refused, ok := errors.AsType[*v1.Error](err)
	return !ok || busy(refused) || refused.Type == v1.ErrServer && !tooMuch(err)
}

// busy reports whether the server has too many questions just now (HTTP status 429).
func busy(refused *v1.Error) bool {
	return refused.Type == v1.ErrClient && refused.Msg == "client error: 429"
}

// tooMuch reports whether the server has refused a query because of its size. Servers agree on no
// status for that: Prometheus and Thanos say 422, and 503 where it took too long; Mimir 422, 400 or 413;
// what stands before them 504. Nor do they on words, but that a limit is called one.
func tooMuch(err error) bool {
	refused, ok := errors.AsType[*v1.Error](err)
	if !ok || busy(refused) {
		return false
	}
	var words []string
	switch refused.Type {
	case v1.ErrTimeout:
		return true
	case v1.ErrExec, v1.ErrBadData, v1.ErrClient:
		words = []string{"too many samples", "maximum resolution", "max-points", "limit", "timed out", "timeout", "client error: 413"}
	case v1.ErrServer:
		words = []string{`"errortype":"timeout"`, "query timed out", "server error: 504"}
	}
	text := strings.ToLower(refused.Msg + " " + refused.Detail)
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}

// queryError says which query failed, and what to do.
func queryError(query string, err error) error {
	const most = 300
	if len(query) > most {
		query = query[:most] + "…"
	}
	if refused, ok := errors.AsType[*v1.Error](err); ok {
		return fmt.Errorf("query %q: %s", query, refusal(refused))
	}
	// The error of net/http names the URL, with its user.
	outer, ok := errors.AsType[*url.Error](err)
	switch {
	case ok && outer.Timeout():
		return fmt.Errorf("query %q: %s: %w", query, redacted(outer.URL), outer.Err)
	case ok: // whatever the query is
		return fmt.Errorf("%s: %w: is --prometheus.url right?", redacted(outer.URL), outer.Err)
	}
	return fmt.Errorf("query %q: %w", query, err)
}

// refusal is in one line what the server said, and what to do.
func refusal(refused *v1.Error) string {
	said := shortened(refused.Msg)
	if detail := shortened(refused.Detail); detail != "" {
		said += " (" + detail + ")"
	}
	switch {
	case busy(refused):
		return said + ": the server is busy: try again later, or raise its limits"
	case tooMuch(refused):
		return said + ": raise the server's limits, or ask for fewer --targets or a shorter time"
	case refused.Type == v1.ErrBadResponse || refused.Type == v1.ErrClient && strings.HasSuffix(refused.Msg, " 404"):
		return said + ": is --prometheus.url right? It goes up to where /api/v1 comes, such as https://mimir.example/prometheus"
	case refused.Type == v1.ErrClient && (strings.HasSuffix(refused.Msg, " 401") || strings.HasSuffix(refused.Msg, " 403")):
		return said + ": give credentials, or Mimir's header X-Scope-OrgID, with --prometheus.config"
	}
	return said
}

// shortened is the beginning of what the server said, in one line and fit to be shown.
func shortened(said string) string {
	const most = 200
	said = clean(strings.Join(strings.Fields(said), " "))
	if len(said) > most {
		said = strings.ToValidUTF8(said[:most], "") + "…"
	}
	return said
}

// matcher is one of PromQL's: label="value".
func matcher(label, value string) string { return label + "=" + strconv.Quote(value) }
