package config

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	promconfig "github.com/prometheus/common/config"
)

// RenewalInfo says of which certificates the CA is asked when they should be renewed.
type RenewalInfo struct {
	// Certificates are patterns of files in PEM, as of [filepath.Match]; empty: the
	// last certificate of the target.
	Certificates []string `yaml:"certificates,omitempty"`
}

// MaxRenewals bounds the certificates that one module asks about.
const MaxRenewals = 100

// FileCertificate is the first certificate of a file.
type FileCertificate struct {
	Name        string // the file's, without its folder
	Certificate *x509.Certificate
}

// Read returns the first certificate of each file that the patterns match now, at
// most [MaxRenewals], sorted by path: what is renewed takes the place of what was
// there when the configuration was loaded. The errors are of the files and patterns
// that are of no use.
func (i *RenewalInfo) Read() (list []FileCertificate, errs []error) {
	var paths []string
	for _, pattern := range i.Certificates {
		found, err := filepath.Glob(pattern)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%q is no pattern of file names", pattern))
		case len(found) == 0:
			errs = append(errs, fmt.Errorf("%q: there is no such file", pattern))
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	if len(paths) > MaxRenewals {
		errs = append(errs, fmt.Errorf("%d files match: want at most %d, divide them over several modules", len(paths), MaxRenewals))
		paths = paths[:MaxRenewals]
	}
	for _, path := range paths {
		c, err := readFirst(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("%q: %w", path, err))
			continue
		}
		list = append(list, FileCertificate{Name: filepath.Base(path), Certificate: c})
	}
	return list, errs
}

// readFirst reads the first certificate of a file. What else is in it, such as a
// private key, is not looked at.
func readFirst(name string) (*x509.Certificate, error) {
	data, err := readFile(name)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			return nil, fmt.Errorf("its first certificate cannot be read: %w", err)
		case len(c.AuthorityKeyId) == 0:
			return nil, errors.New("its first certificate has no authority key identifier, by which a CA is asked about it")
		}
		return c, nil
	}
	return nil, errors.New("it has no certificate in PEM")
}

// complete resolves the patterns against dir.
func (i *RenewalInfo) complete(dir string) {
	for n, pattern := range i.Certificates {
		i.Certificates[n] = promconfig.JoinDir(dir, pattern)
	}
}

func (i *RenewalInfo) validate(ps *problems, at path) {
	at = at.key("certificates")
	known := len(ps.list)
	for n, pattern := range i.Certificates {
		if pattern == "" {
			ps.add(at.index(n), "want the name of a file, or a pattern of such names")
			continue
		}
		one := RenewalInfo{Certificates: []string{pattern}}
		_, errs := one.Read()
		for _, err := range errs {
			ps.add(at.index(n), "%s", err)
		}
	}
	if len(ps.list) > known {
		return
	}
	_, errs := i.Read()
	for _, err := range errs { // there are too many of them together
		ps.add(at, "%s", err)
	}
}
