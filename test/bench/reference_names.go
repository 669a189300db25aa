package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
)

// parallel is how many requests of one issuance the reference has in flight, as
// the probers do.
const parallel = 16

// publish makes the answer to a challenge for name known to the validators, until
// withdraw is called.
type publish func(name, token, keyAuthorization string) (withdraw func(), err error)

// issueMany has one certificate issued for all names and returns it as it came.
func (c *reference) issueMany(ctx context.Context, names []string, challengeType string, answer publish) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		return nil, err
	}
	d, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer c.client.CloseIdleConnections()
	ids := make([]map[string]string, len(names))
	for i, name := range names {
		ids[i] = map[string]string{"type": "dns", "value": name}
	}
	payload, err := json.Marshal(map[string]any{"identifiers": ids})
	if err != nil {
		return nil, err
	}
	var order object
	orderURL, err := c.read(ctx, &order, d.NewOrder, string(payload))
	if err != nil {
		return nil, err
	}
	withdraw, err := c.authorize(ctx, d, order.Authorizations, challengeType, answer)
	defer withdraw()
	if err != nil {
		return nil, err
	}
	if err := c.pollFor(ctx, &order, orderURL, "pending", "ready"); err != nil {
		return nil, err
	}
	finalize := `{"csr":"` + base64.RawURLEncoding.EncodeToString(csr) + `"}`
	if _, err := c.read(ctx, &order, order.Finalize, finalize); err != nil {
		return nil, err
	}
	if order.Status != "valid" {
		if err := c.poll(ctx, &order, orderURL, "processing"); err != nil {
			return nil, err
		}
	}
	certificate, _, err := c.post(ctx, order.Certificate, "")
	return certificate, err
}

// authorize reads the authorizations, publishes the answers and then accepts the
// challenges, each in parallel.
func (c *reference) authorize(ctx context.Context, d directory, urls []string, challengeType string, answer publish) (withdraw func(), err error) {
	challenges := make([]object, len(urls))
	withdraws := make([]func(), len(urls))
	withdraw = func() {
		for _, w := range withdraws {
			if w != nil {
				w()
			}
		}
	}
	thumbprint, err := c.thumbprint()
	if err != nil {
		return withdraw, err
	}
	workers := c.fork(d)
	defer c.join(workers)
	err = share(workers, len(urls), func(w *reference, i int) error {
		var a struct {
			Identifier struct{ Value string }
			Challenges []struct{ Type, URL, Token string }
		}
		body, _, err := w.post(ctx, urls[i], "")
		if err == nil {
			err = json.Unmarshal(body, &a)
		}
		for _, ch := range a.Challenges {
			if err == nil && ch.Type == challengeType {
				challenges[i].URL = ch.URL
				withdraws[i], err = answer(a.Identifier.Value, ch.Token, ch.Token+"."+thumbprint)
			}
		}
		return err
	})
	if err != nil {
		return withdraw, err
	}
	return withdraw, share(workers, len(urls), func(w *reference, i int) error {
		_, _, err := w.post(ctx, challenges[i].URL, "{}")
		return err
	})
}

// fork returns clients that share the connection, each with a nonce of its own.
func (c *reference) fork(d directory) []*reference {
	workers := make([]*reference, parallel)
	for i := range workers {
		w := *c
		w.calls, w.newNonce = 0, d.NewNonce
		if i > 0 {
			w.nonce = ""
		}
		workers[i] = &w
	}
	return workers
}

// join goes on with what one of the workers has left.
func (c *reference) join(workers []*reference) {
	c.nonce = workers[0].nonce
	for _, w := range workers {
		c.calls += w.calls
	}
}

// share does n pieces of work, as many at a time as there are workers.
func share(workers []*reference, n int, do func(w *reference, i int) error) error {
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	var group sync.WaitGroup
	errs := make([]error, len(workers))
	for at, w := range workers {
		group.Go(func() {
			for i := range next {
				if w.nonce == "" {
					if _, _, errs[at] = w.do(context.Background(), http.MethodHead, w.newNonce, nil); errs[at] != nil {
						return
					}
				}
				if errs[at] = do(w, i); errs[at] != nil {
					return
				}
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// pollFor reads o until its status is no longer while, and wants it to be then.
func (c *reference) pollFor(ctx context.Context, o *object, url, while, then string) error {
	err := c.poll(ctx, o, url, while)
	if o.Status == then {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%s is %s", url, o.Status)
	}
	return err
}

// thumbprint is that of the account's key (RFC 7638).
func (c *reference) thumbprint() (string, error) {
	point, err := c.key.PublicKey.Bytes()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + b64(point[1:33]) + `","y":"` + b64(point[33:]) + `"}`))
	return b64(sum[:]), nil
}
