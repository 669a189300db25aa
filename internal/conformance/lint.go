package conformance

import (
	"fmt"
	"slices"
	"sync"

	"github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	zl "github.com/zmap/zlint/v3/lint"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	// maxLinted is the largest certificate that lints see, in bytes: how long they
	// take over it is not in our hand. One with 100 long names has half of that.
	maxLinted = 64 << 10
	maxLints  = 20 // names of either kind that are kept
)

// The lints that are for a certificate of a server: of RFCs for everybody's, and of
// what browsers demand for those of public CAs.
var (
	everybodys = zl.SourceList{zl.RFC3279, zl.RFC5280, zl.RFC5480, zl.RFC5891, zl.RFC6962, zl.RFC8813}
	publics    = slices.Concat(everybodys, zl.SourceList{
		zl.CABFBaselineRequirements, zl.MozillaRootStorePolicy, zl.AppleRootStorePolicy, zl.ChromeRootStorePolicy, zl.Community,
	})
	lintsOfAll    = sync.OnceValue(func() zl.Registry { return registry(everybodys) })
	lintsOfPublic = sync.OnceValue(func() zl.Registry { return registry(publics) })
)

// registry returns the lints of those sources.
func registry(sources zl.SourceList) zl.Registry {
	r, err := zl.GlobalRegistry().Filter(zl.FilterOptions{IncludeSources: sources})
	if err != nil {
		panic(fmt.Sprintf("conformance: lints: %v", err)) // the sources are its own
	}
	return r
}

// lint runs zlint on a certificate; nil: it could not.
func lint(der []byte, public bool) (lints *probe.Lints) {
	if len(der) > maxLinted {
		return nil
	}
	// Somebody else's code on somebody else's bytes: what it breaks is not the CA's.
	defer func() {
		if recover() != nil {
			lints = nil
		}
	}()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil // crypto/x509 has read it: here is only another opinion
	}
	chosen := lintsOfAll()
	if public {
		chosen = lintsOfPublic()
	}
	lints = &probe.Lints{}
	for name, result := range zlint.LintCertificateEx(cert, chosen).Results {
		switch result.Status {
		case zl.Error:
			lints.Errors = append(lints.Errors, name)
		case zl.Warn, zl.Fatal: // fatal: the lint itself did not come to an end
			lints.Warnings = append(lints.Warnings, name)
		}
	}
	lints.ErrorCount, lints.Errors = bound(lints.Errors)
	lints.WarningCount, lints.Warnings = bound(lints.Warnings)
	return lints
}

// bound returns how many names there are, and the first ones of them.
func bound(names []string) (count int, kept []string) {
	slices.Sort(names)
	return len(names), names[:min(len(names), maxLints)]
}

// checkLints returns which lints failed; empty: none.
func checkLints(l *probe.Lints) string {
	if l.ErrorCount == 0 {
		return ""
	}
	return "zlint found errors: " + list(l.Errors, l.ErrorCount)
}
