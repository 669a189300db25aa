//go:build unix

package conformance

import (
	"crypto/elliptic"
	"crypto/x509"
	"syscall"
	"testing"
	"time"
)

// BenchmarkCheck is what all checks of one certificate cost in CPU time, of a CA as
// the public ones are: a key on P-384 signs, and two more are above it. Wanted are at
// most 2 ms without lints, and 15 ms with them. The first certificate of an issuer
// costs two more signatures.
func BenchmarkCheck(b *testing.B) {
	w := newWorld(b)
	w.root = newAuthority(b, "root", nil, newKey(b, elliptic.P384()), nil)
	cross := newAuthority(b, "cross", &w.root, newKey(b, elliptic.P384()), nil)
	w.intermediate = newAuthority(b, "intermediate", &cross, newKey(b, elliptic.P384()), nil)
	chain := []*x509.Certificate{w.leaf(b, nil), w.intermediate.cert, cross.cert}
	for _, bb := range []struct {
		name string
		lint bool
		most time.Duration
	}{{"without lints", false, 2 * time.Millisecond}, {"with lints", true, 15 * time.Millisecond}} {
		b.Run(bb.name, func(b *testing.B) {
			wanted := w.wanted()
			wanted.Lint = bb.lint
			Check(chain, wanted) // the first one also sorts the lints
			before := used(b)
			for b.Loop() {
				if results, _ := Check(chain, wanted); len(results) < len(withoutLint()) {
					b.Fatal("a check is missing")
				}
			}
			each := (used(b) - before) / time.Duration(b.N)
			b.ReportMetric(float64(each.Microseconds())/1000, "cpu-ms/op")
			if each > bb.most {
				b.Errorf("%v of CPU time for each certificate, want at most %v", each, bb.most)
			}
		})
	}
}

// used is the CPU time that the process has used.
func used(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
