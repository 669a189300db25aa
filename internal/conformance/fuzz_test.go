package conformance

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// FuzzCheck gives every check a leaf in DER that a CA might send, before a good
// intermediate and by itself. testdata/fuzz has some to begin with.
func FuzzCheck(f *testing.F) {
	w := newWorld(f)
	wanted, above := w.wanted(), w.intermediate.cert
	wanted.Lint = true
	f.Add(w.leaf(f, nil).Raw, true)
	f.Add(w.root.cert.Raw, false)
	f.Fuzz(func(t *testing.T, der []byte, public bool) {
		body := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		chain, err := ParseChain(body)
		if err != nil {
			return
		}
		if len(chain) != 1 || !bytes.Equal(chain[0].Raw, der) {
			t.Fatalf("%d certificates of one", len(chain))
		}
		w := wanted
		w.Public = public
		for _, chain := range [][]*x509.Certificate{chain, {chain[0], above}} {
			results, lints := Check(chain, w)
			sound(t, results, lints)
		}
	})
}

// sound checks what holds of every outcome.
func sound(t *testing.T, results []probe.CheckResult, lints *probe.Lints) {
	t.Helper()
	all, _ := made(results)
	wanted := probe.Checks()
	for _, c := range all {
		i := slices.Index(wanted, c)
		if i < 0 {
			t.Fatalf("checks %v are not in their order, or one was made twice", all)
		}
		wanted = wanted[i+1:]
	}
	if (lints != nil) != slices.Contains(all, probe.CheckLint) {
		t.Errorf("lints %v, checks %v", lints, all)
	}
	for _, r := range results {
		if r.Passed != (r.Detail == "") {
			t.Errorf("%+v", r)
		}
		for _, words := range []string{r.Detail, r.Note} {
			if len(words) > 2048 || strings.ContainsFunc(words, func(c rune) bool { return c < ' ' || c == 0xfffd }) {
				t.Errorf("%s: %q is not fit to be shown", r.Check, words)
			}
		}
	}
	if lints != nil && (len(lints.Errors) > maxLints || len(lints.Warnings) > maxLints) {
		t.Errorf("%d and %d names of lints", len(lints.Errors), len(lints.Warnings))
	}
}
