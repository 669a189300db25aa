package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode"

	promconfig "github.com/prometheus/common/config"
	"gopkg.in/yaml.v3"
)

// maxRecipients bounds how many get one mail: each sees the others' addresses.
const maxRecipients = 50

// The values of smtp.tls.
const (
	TLSStart    = "starttls" // TLS from STARTTLS on, which the server must offer (RFC 3207)
	TLSImplicit = "implicit" // TLS from the first byte on (RFC 8314 §3.3)
	TLSNone     = "none"     // no TLS, and so no password
)

// Email says where reports are sent, and how. It is a file of its own, read by
// [LoadEmail].
type Email struct {
	SMTP SMTP `yaml:"smtp"`
	// From is an address, with or without a name, as in RFC 5322 §3.4.
	From string `yaml:"from"`
	// Recipients are 1 to 50 such addresses; all of them get the same mail.
	Recipients []string `yaml:"recipients"`
}

// SMTP is the server that takes our mail.
type SMTP struct {
	Server string `yaml:"server"` // a host's name or address
	// Port defaults to 587; with tls implicit to 465, with none to 25.
	Port     int    `yaml:"port,omitempty"`
	TLS      string `yaml:"tls,omitempty"` // starttls (the default), implicit or none
	Username string `yaml:"username,omitempty"`
	// PasswordFile holds the password of Username in one line.
	PasswordFile string `yaml:"password_file,omitempty"`
	// CAFile has the roots of the server's certificate, in PEM; empty: the system's.
	CAFile string `yaml:"ca_file,omitempty"`

	password promconfig.Secret
	roots    *x509.CertPool
}

// Password is what PasswordFile held when it was loaded, without line ends.
func (s *SMTP) Password() promconfig.Secret { return s.password }

// Roots are those of CAFile; nil: the system's.
func (s *SMTP) Roots() *x509.CertPool { return s.roots }

// LoadEmail reads the file at path and checks the whole of it. Files that it names are
// relative to its directory. Its error joins one *[Error] for each mistake, in the
// order of the file, as that of [Load].
func LoadEmail(path string) (*Email, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, &Error{File: path, Problem: err.Error()}
	}
	ps := newProblems(path)
	e := &Email{}
	if root, ok := parseTree(ps, data); ok {
		d := &decoder{problems: ps, open: map[*yaml.Node]bool{}}
		d.value(root, reflect.ValueOf(e).Elem(), "")
		if !ps.isBroken("") {
			e.SMTP.complete(ps, "smtp", filepath.Dir(path))
			e.validate(ps)
		}
	}
	if err := ps.err(); err != nil {
		return nil, err
	}
	return e, nil
}

// complete fills in what was not written, and reads the files.
func (s *SMTP) complete(ps *problems, at path, dir string) {
	if s.TLS == "" && !ps.written(at.key("tls")) {
		s.TLS = TLSStart
	}
	if !ps.written(at.key("port")) {
		s.Port = map[string]int{TLSStart: 587, TLSImplicit: 465, TLSNone: 25}[s.TLS]
	}
	if s.PasswordFile != "" {
		at := at.key("password_file")
		s.PasswordFile = promconfig.JoinDir(dir, s.PasswordFile)
		data, err := readFile(s.PasswordFile)
		password := strings.TrimRight(string(data), "\r\n")
		switch {
		case err != nil:
			ps.add(at, "%q: %s", s.PasswordFile, err)
		case password == "":
			ps.add(at, "%q: it is empty: want the password in one line", s.PasswordFile)
		case strings.ContainsFunc(password, unicode.IsControl):
			ps.add(at, "%q: there is more than one line in it: want the password alone", s.PasswordFile)
		}
		s.password = promconfig.Secret(password)
	}
	if s.CAFile != "" {
		at := at.key("ca_file")
		s.CAFile = promconfig.JoinDir(dir, s.CAFile)
		data, err := readFile(s.CAFile)
		s.roots = x509.NewCertPool()
		if err != nil {
			ps.add(at, "%q: %s", s.CAFile, err)
		} else if !s.roots.AppendCertsFromPEM(data) {
			ps.add(at, "%q: no certificate in PEM in it: give the roots of the server's certificate", s.CAFile)
		}
	}
}

func (e *Email) validate(ps *problems) {
	e.SMTP.validate(ps, "smtp")
	from := path("from")
	if e.From == "" {
		ps.add(from, "missing: want an address such as \"ACME report <acme@example.org>\"")
	} else if err := checkMailbox(e.From); err != nil {
		ps.add(from, "%s", err)
	}
	recipients := path("recipients")
	switch n := len(e.Recipients); {
	case n == 0:
		ps.add(recipients, "missing: want a list of addresses such as pki@example.org")
	case n > maxRecipients:
		ps.add(recipients, "want at most %d, got %d: use an address that stands for a group", maxRecipients, n)
	}
	seen := map[string]bool{}
	for i, one := range e.Recipients {
		if err := checkMailbox(one); err != nil {
			ps.add(recipients.index(i), "%s", err)
			continue
		}
		address := strings.ToLower(Mailbox(one).Address)
		if seen[address] {
			ps.add(recipients.index(i), "%q is there twice: remove one", address)
		}
		seen[address] = true
	}
}

func (s *SMTP) validate(ps *problems, at path) {
	if s.Server == "" {
		ps.add(at.key("server"), "missing: want the name of a mail server such as smtp.example.org")
	} else if host, _, err := net.SplitHostPort(s.Server); err == nil {
		ps.add(at.key("server"), "%q: write the port apart: server: %q and port", s.Server, host)
	} else if err := checkHost(s.Server); err != nil {
		ps.add(at.key("server"), "%s", err)
	}
	modes := []string{TLSStart, TLSImplicit, TLSNone}
	only(ps, at.key("tls"), s.TLS, modes...)
	if s.Port < 1 && slices.Contains(modes, s.TLS) || s.Port > 65535 {
		ps.add(at.key("port"), "the port %d is not one of 1 to 65535", s.Port)
	}
	switch {
	case s.Username != "" && s.PasswordFile == "" && !ps.isBroken(at.key("password_file")):
		ps.add(at.key("username"), "there is no password_file: name the file that holds the password")
	case s.Username == "" && s.PasswordFile != "" && !ps.isBroken(at.key("username")):
		ps.add(at.key("password_file"), "there is no username: whose password is it?")
	}
	if strings.ContainsFunc(s.Username, unicode.IsControl) {
		ps.add(at.key("username"), "a control character in it: want the name alone")
	}
	if s.TLS == TLSNone {
		if s.Username != "" {
			ps.add(at.key("username"), "with tls none the password could be read on its way: use starttls or implicit, or a server that asks for none")
		}
		if s.CAFile != "" {
			ps.add(at.key("ca_file"), "with tls none the server shows no certificate: remove one of the two")
		}
	}
}

// checkMailbox checks an address of RFC 5322 §3.4, with or without a name: one, in
// one line, and of a form that every server takes.
func checkMailbox(s string) error {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%q has a control character in it: want one line such as \"ACME report <acme@example.org>\"", s)
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		return fmt.Errorf("%q is not an address: want one such as \"ACME report <acme@example.org>\"", s)
	}
	if strings.ContainsFunc(a.Name, unicode.IsControl) {
		return errors.New("the name has an encoded control character in it: write the name as it is")
	}
	i := strings.LastIndexByte(a.Address, '@')
	local, domain := a.Address[:i], a.Address[i+1:]
	if strings.ContainsFunc(local, func(r rune) bool {
		return r > unicode.MaxASCII || strings.ContainsRune(" \"@", r) || unicode.IsControl(r)
	}) {
		return fmt.Errorf("%q: what is before the @ has characters that not every server takes", a.Address)
	}
	return checkDomain(strings.ToLower(domain))
}

// Mailbox is an address that [LoadEmail] has checked.
func Mailbox(s string) *mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		return &mail.Address{}
	}
	return a
}
