package acmehttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxRetryAfter is what a longer Retry-After is taken for.
const maxRetryAfter = 365 * 24 * time.Hour

// errTooLarge says that an answer is longer than it may be.
var errTooLarge = errors.New("the answer is too large")

// readBody reads the body of res to its end. The limit counts what has been
// decompressed. It always closes the body.
func readBody(res *http.Response, limit int64) ([]byte, error) {
	defer res.Body.Close()
	if res.ContentLength > limit && !res.Uncompressed && res.Request.Method != http.MethodHead {
		return nil, fmt.Errorf("read %d bytes: %w", res.ContentLength, errTooLarge)
	}
	size := int64(512)
	if res.ContentLength > 0 {
		size = res.ContentLength
	}
	buf := make([]byte, 0, min(size, limit)+1) // one more, to read the end
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := res.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return buf[:limit], fmt.Errorf("read more than %d bytes: %w", limit, errTooLarge)
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return buf, err
		}
	}
}

// stream has read read the body of res, and returns how many bytes it has had. An
// error is one of the transport, or that the body is longer than it may be; what
// read makes of what it had is its own business. It always closes the body.
func stream(res *http.Response, limit int64, read func(io.Reader)) (int64, error) {
	defer res.Body.Close()
	if res.ContentLength > limit && !res.Uncompressed {
		return 0, fmt.Errorf("read %d bytes: %w", res.ContentLength, errTooLarge)
	}
	b := &boundedBody{from: res.Body, limit: limit}
	read(b)
	return b.n, b.err
}

// boundedBody is a body that ends with an error where it is too long.
type boundedBody struct {
	from     io.Reader
	n, limit int64
	err      error // the first one but io.EOF
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.from.Read(p)
	b.n += int64(n)
	switch {
	case b.n > b.limit:
		b.err = fmt.Errorf("read more than %d bytes: %w", b.limit, errTooLarge)
		return 0, b.err
	case err != nil && err != io.EOF:
		b.err = err
	}
	return n, err
}

// describe records what is said by an answer itself.
func describe(c *probe.Call, res *http.Response, body []byte) {
	c.Status = res.StatusCode
	c.Connection.HTTPVersion = res.Proto
	c.Nonce = res.Header.Get("Replay-Nonce") != ""
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		c.Date = date
	}
	c.RetryAfter = retryAfter(res.Header.Get("Retry-After"), c.Date)
	if c.Error == nil {
		c.Problem = problemOf(res.StatusCode, res.Header.Get("Content-Type"), body)
	}
}

// retryAfter parses a Retry-After header (RFC 9110 §10.2.3). A date counts from
// the answer's own Date, so that a clock that is wrong does not matter; one in
// the past is 0. It returns nil for what is absent or unreadable.
func retryAfter(value string, date time.Time) *time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return nil
	}
	if isDigits(value) {
		d := maxRetryAfter
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n < int64(maxRetryAfter/time.Second) {
			d = time.Duration(n) * time.Second
		}
		return &d
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return nil
	}
	if date.IsZero() {
		date = time.Now()
	}
	d := min(max(at.Sub(date), 0), maxRetryAfter)
	return &d
}

// recordedURL is a URL in the form that is recorded: without user info, query
// and fragment.
func recordedURL(u *url.URL) string {
	k := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return clean(k.String(), maxRecordedURL)
}
