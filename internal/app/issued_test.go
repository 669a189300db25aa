package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// ca is the directory of the CA that issues.
const ca = "https://ca.example/dir"

// chainOf makes n certificates; with padding as many bytes in each.
func chainOf(t *testing.T, n, padding int) (chain []*x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), NotAfter: time.Now().Add(time.Hour)}
		template.DNSNames = []string{strings.Repeat("a", padding) + ".example"}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	return chain
}

func wantLast(t *testing.T, i *lastIssued, target string, want []*x509.Certificate) {
	t.Helper()
	got, err := i.of(target, ca).Last()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d certificates, want %d", target, len(got), len(want))
	}
	for n := range want {
		if !bytes.Equal(got[n].Raw, want[n].Raw) {
			t.Errorf("%s: certificate %d is another one", target, n)
		}
	}
}

// What was issued last is known after a restart, of each target its own.
func TestIssuedIsRestored(t *testing.T) {
	dir := t.TempDir()
	kept := &store{dir: dir}
	if err := kept.take(probe.ProberIssue); err != nil {
		t.Fatal(err)
	}
	i := newIssued(kept, slog.New(slog.DiscardHandler))
	wantLast(t, i, "corp", nil)
	one, two, other := chainOf(t, 2, 0), chainOf(t, 3, 0), chainOf(t, 1, 0)
	i.of("corp", ca).Keep(one)
	i.of("other", ca).Keep(other)
	i.of("corp", ca).Keep(two)
	i.of("corp", ca).Keep(chainOf(t, 2, maxIssued/2)) // too long: what was before stays
	wantLast(t, i, "corp", two)

	// A command beside the exporter that runs knows that it knows nothing.
	beside := &store{dir: dir}
	if err := beside.take(probe.ProberCRL); err != nil {
		t.Fatal(err)
	}
	if _, err := newIssued(beside, slog.New(slog.DiscardHandler)).of("corp", ca).Last(); err == nil || !strings.Contains(err.Error(), "held by acme_exporter") {
		t.Errorf("beside another process: %v", err)
	}
	if err := kept.close(); err != nil {
		t.Fatal(err)
	}

	again := &store{dir: dir}
	if err := again.take(probe.ProberCRL); err != nil {
		t.Fatal(err)
	}
	defer again.close()
	restored := newIssued(again, slog.New(slog.DiscardHandler))
	wantLast(t, restored, "corp", two)
	wantLast(t, restored, "other", other)
	wantLast(t, restored, "third", nil)
	if got, err := restored.of("corp", "https://other.example/dir").Last(); got != nil || err != nil {
		t.Errorf("another CA has issued %d certificates, %v", len(got), err)
	}
	expired := chainOf(t, 1, 0)
	expired[0].NotAfter = time.Now().Add(-time.Second)
	restored.of("other", ca).Keep(expired)
	wantLast(t, restored, "other", nil)
	if err := again.Commit(state.Change{Bucket: bucketIssued, Key: "third", Value: storedChain{Chain: [][]byte{{1}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := restored.of("third", ca).Last(); err == nil {
		t.Error("what is no certificate was read")
	}
}

// A command that only looks makes no state directory.
func TestLookingLeavesNoTrace(t *testing.T) {
	dir := t.TempDir() + "/data"
	s := &store{dir: dir}
	if err := s.take(probe.ProberCRL); err != nil {
		t.Fatal(err)
	}
	if state.Ours(dir) {
		t.Error("the directory is there")
	}
	wantLast(t, newIssued(s, slog.New(slog.DiscardHandler)), "corp", nil)
}
